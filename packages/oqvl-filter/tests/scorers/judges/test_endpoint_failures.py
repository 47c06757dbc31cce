"""Endpoints that fail in every way that servers do, and scoring that carries on or stops as it should."""

from __future__ import annotations

import base64
import io
import json
import math
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from oqvl_filter import run
from oqvl_filter.config import MlmScorerConfig, ScoreConfig
from oqvl_filter.score_file import read_table
from oqvl_filter.scorers.judges.endpoint import EndpointJudge, _read_reply, _seconds
from oqvl_filter.scorers.judges.judge import Answer
from oqvl_filter.scorers.mlm import read_expected
from oqvl_shards.errors import ConfigError, HardwareError

IMAGE = Image.new("RGB", (8, 8), "red")
Act = Callable[[BaseHTTPRequestHandler, int, str], None]


def reply(handler: BaseHTTPRequestHandler, status: int, content: Any, **headers: str) -> None:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(data)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(data)


def says(handler: BaseHTTPRequestHandler, text: str, **choice: Any) -> None:
    reply(handler, 200, {"choices": [{"message": {"content": text}, "finish_reason": "stop", **choice}]})


@pytest.fixture
def serve() -> Iterator[Callable[[Act], tuple[str, list[str]]]]:
    """Start an endpoint; `act` gets the handler, how often its prompt has come, and the prompt."""
    servers: list[tuple[ThreadingHTTPServer, threading.Thread]] = []

    def start(act: Act) -> tuple[str, list[str]]:
        prompts: list[str] = []
        lock = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                prompt = body["messages"][0]["content"][1]["text"]
                with lock:
                    prompts.append(prompt)
                    count = prompts.count(prompt)
                act(self, count, prompt)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}/v1/", prompts

    yield start
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()


def judge_of(url: str, pauses: list[float] | None = None, attempts: int = 3, **values: Any) -> EndpointJudge:
    sleep = (lambda _: None) if pauses is None else pauses.append
    return EndpointJudge(url, "vlm", sleep=sleep, attempts=attempts, **values)


def cut_short(handler: BaseHTTPRequestHandler) -> None:
    """Announce more bytes than come."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices"')


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


FAILURES: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {
    **{
        f"status {code}": lambda handler, code=code: reply(handler, code, {})
        for code in (408, 425, 429, 500, 502, 503, 504)
    },
    "the connection closes": hang_up,
    "the answer is cut short": cut_short,
    "the answer is empty": lambda handler: reply(handler, 200, b""),
    "the answer is another page": lambda handler: reply(handler, 200, b"<html>starting</html>"),
    "the answer is not UTF-8": lambda handler: reply(handler, 200, b'{"choices": "\xff"}'),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_that_passes_is_not_seen(serve, failure: str):
    url, prompts = serve(lambda handler, count, _: FAILURES[failure](handler) if count < 3 else says(handler, "85"))
    pauses: list[float] = []
    ((answer,),) = judge_of(url, pauses, first_pause=0.25).answer([IMAGE], [["?"]], 5)
    assert answer == Answer("85")
    assert pauses == [0.25, 0.5]
    assert len(prompts) == 3


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_that_stays_is_told_after_the_last_attempt(serve, failure: str):
    url, prompts = serve(lambda handler, *_: FAILURES[failure](handler))
    pauses: list[float] = []
    with pytest.raises(HardwareError, match="gave no answer in 2 attempts; the last one:") as error:
        judge_of(url, pauses, attempts=2).answer([IMAGE], [["?"]], 5)
    assert "run the same command again" in error.value.hint
    assert len(prompts) == 2
    assert len(pauses) == 1, "no pause after the last attempt"


def test_a_server_that_is_silent_runs_into_the_timeout(serve):
    released = threading.Event()
    url, _ = serve(lambda handler, count, _: says(handler, "7") if count > 1 else bool(released.wait(600)))
    try:
        ((answer,),) = judge_of(url, timeout=0.3, attempts=100).answer([IMAGE], [["?"]], 5)
    finally:
        released.set()
    assert answer.text == "7"


def test_pauses_double_up_to_a_minute(serve):
    url, _ = serve(lambda handler, *_: reply(handler, 500, {}))
    pauses: list[float] = []
    with pytest.raises(HardwareError):
        judge_of(url, pauses, attempts=9, first_pause=1.0).answer([IMAGE], [["?"]], 5)
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refusal_is_of_one_prompt_and_not_tried_again(serve, status: int):
    def act(handler: BaseHTTPRequestHandler, _: int, prompt: str) -> None:
        reply(handler, status, {"error": "no"}) if prompt == "bad" else says(handler, prompt)

    url, prompts = serve(act)
    answers = judge_of(url, concurrency=2).answer([IMAGE] * 3, [["a", "b"], ["bad", "c"], ["d", "e"]], 5)
    texts = [[answer.refusal or answer.text for answer in row] for row in answers]
    assert texts == [["a", "b"], ["refused", "c"], ["d", "e"]]
    assert max(Counter(prompts).values()) == 1


@pytest.mark.parametrize("status", [401, 403, 404, 405, 410, 501])
def test_a_status_that_no_retry_changes_stops_with_its_text(serve, status: int):
    url, prompts = serve(lambda handler, *_: reply(handler, status, {"error": "model vlm is not served"}))
    with pytest.raises(ConfigError, match=rf"answers with status {status}: .*model vlm is not served") as error:
        judge_of(url).answer([IMAGE], [["?"]], 5)
    assert error.value.hint == "check url, model and key"
    assert len(prompts) == 1


def test_the_first_error_stops_what_has_not_been_asked_yet(serve):
    url, prompts = serve(lambda handler, *_: reply(handler, 401, {}))
    with pytest.raises(ConfigError):
        judge_of(url, concurrency=1).answer([IMAGE], [[f"prompt {number}" for number in range(200)]], 5)
    assert len(prompts) < 200


def test_answers_keep_their_places_whatever_fails_meanwhile(serve):
    """Every third prompt fails once or twice; answers still stand where their prompts did."""

    def act(handler: BaseHTTPRequestHandler, count: int, prompt: str) -> None:
        if count <= int(prompt) % 3:
            reply(handler, 503, {}, Retry_After="2")
        else:
            says(handler, prompt)

    url, prompts = serve(act)
    rows = [[str(4 * row + place) for place in range(4)] for row in range(6)]
    pauses: list[float] = []
    answers = judge_of(url, pauses, concurrency=5).answer([IMAGE] * 6, rows, 5)
    assert [[answer.text for answer in row] for row in answers] == rows
    assert len(prompts) == sum(1 + number % 3 for number in range(24))
    assert sorted(pauses) == [2.0] * len(pauses)


def test_large_images_are_sent_smaller_and_small_ones_as_they_are():
    judge = judge_of("http://localhost:1", max_side=64)
    for size, sent in (((200, 100), (64, 32)), ((30, 10), (30, 10)), ((64, 64), (64, 64))):
        image = Image.new("RGB", size, "green")
        source = judge._encode(image)
        assert image.size == size
        with Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) as opened:
            assert (opened.size, opened.convert("RGB").getpixel((0, 0))) == (sent, (0, 128, 0))


@pytest.mark.parametrize("values", [{"concurrency": 0}, {"attempts": 0}, {"max_side": 0}])
def test_numbers_below_one_are_refused(values: dict[str, Any]):
    with pytest.raises(ConfigError, match="must be at least 1"):
        judge_of("http://localhost:1", **values)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["content", "token", "logprob", "top_logprobs", "text", "message"]), inner, max_size=3
        )
    ),
    max_leaves=5,
)
replies = st.fixed_dictionaries(
    {
        "choices": st.lists(
            st.fixed_dictionaries(
                {"message": st.fixed_dictionaries({"content": json_values}) | json_values},
                optional={
                    "finish_reason": st.sampled_from(["stop", "length", "content_filter", None]),
                    "logprobs": st.fixed_dictionaries({"content": json_values}) | json_values,
                },
            ),
            max_size=2,
        )
        | json_values
    }
)


@given(replies | json_values)
def test_any_reply_is_an_answer_in_text_or_a_wrong_configuration(content: Any):
    try:
        answer = _read_reply(content)
    except ConfigError as error:
        assert "chat completions" in error.hint
        return
    assert isinstance(answer.text, str)
    answer.text.encode()
    assert all(isinstance(token, str) and chance >= 0 for token, chance in answer.first_tokens.items())


def test_half_a_character_at_the_end_of_an_answer_can_be_stored():
    answer = _read_reply(json.loads('{"choices": [{"message": {"content": "85 \\ud83d"}, "finish_reason": "length"}]}'))
    assert answer.text.startswith("85 ") and answer.text.encode()


@given(
    st.lists(
        st.tuples(st.integers(0, 100), st.sampled_from(["", " ", "\n"]), st.integers(1, 50)), min_size=1, max_size=6
    )
)
def test_the_expected_score_is_the_mean_of_the_first_tokens(tokens: list[tuple[int, str, int]]):
    """Spaces around a number do not make it another one: the probabilities are added."""
    total = sum(weight for _, _, weight in tokens)
    likely = [
        {"token": f"{space}{number}", "logprob": math.log(weight / total / 2)} for number, space, weight in tokens
    ]
    likely.append({"token": "The", "logprob": math.log(0.5)})
    choice = {"message": {"content": "x"}, "finish_reason": "stop", "logprobs": {"content": [{"top_logprobs": likely}]}}
    answer = _read_reply({"choices": [choice]})
    assert sum(answer.first_tokens.values()) == pytest.approx(1)
    expected = sum(number * weight for number, _, weight in tokens) / total
    measured = read_expected(answer, 100)
    if max(number for number, _, _ in tokens) < 10:
        assert measured is None
    else:
        assert measured == pytest.approx(expected)


@given(
    st.text(max_size=30)
    | st.from_regex(r"[A-Z][a-z]{2}, [0-9]{1,2} [A-Z][a-z]{2} [0-9]{1,5} [0-9:]{1,8} [+-]?[A-Z0-9]{1,9}")
)
def test_any_header_asks_for_a_pause_or_none(header: str):
    pause = _seconds(header, 1000.0)
    assert pause >= 0 or math.isnan(pause)


def test_one_refused_sample_is_a_reason_and_the_others_have_scores(serve, make_pool, plain_pairs, tmp_path):
    def act(handler: BaseHTTPRequestHandler, count: int, prompt: str) -> None:
        if "caption 2" in prompt:
            reply(handler, 400, {})
        elif "caption 3" in prompt:
            says(handler, "I cannot say")
        elif count == 1:
            reply(handler, 500, {})
        else:
            says(handler, "64\nbecause")

    url, _ = serve(act)
    scorer = MlmScorerConfig(
        name="mlm",
        judge="oqvl_filter.scorers.judges.endpoint:EndpointJudge",
        options={"url": url, "model": "vlm", "first_pause": 0.001},
        metrics=("su", "itm"),
        batch_size=2,
    )
    pool = make_pool([plain_pairs(5)]).path
    report = run.score(ScoreConfig(pool=pool, output=tmp_path / "mlm", scorer=scorer))
    assert report.account.model_dump() == {
        "num_in": 5,
        "num_kept": 3,
        "rejected": {"refused": 1, "unreadable_answer": 1},
    }
    table = read_table(tmp_path / "mlm" / "00000.parquet")
    assert table["su"].to_pylist() == [64, 64, None, None, 64]
    assert table["reject"].to_pylist() == [None, None, "refused", "unreadable_answer", None]
