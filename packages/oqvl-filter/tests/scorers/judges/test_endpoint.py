from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from PIL import Image

from oqvl_filter.scorers.judges.endpoint import EndpointJudge
from oqvl_filter.scorers.judges.judge import JudgeReason
from oqvl_shards.errors import ConfigError, HardwareError

Reply = tuple[int, dict[str, str], Any]


class Server:
    """A chat completions endpoint in this process; `reply` decides what it says to the n-th request."""

    def __init__(self, reply: Callable[[int, dict[str, Any]], Reply]) -> None:
        self.requests: list[tuple[dict[str, Any], dict[str, str]]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.requests.append((body, dict(self.headers)))
                status, headers, content = reply(len(server.requests), body)
                data = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        self.thread = threading.Thread(target=self.http.serve_forever)
        self.thread.start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


def says(text: str, finish: str = "stop", likely: list[dict[str, Any]] | None = None) -> Reply:
    logprobs = None if likely is None else {"content": [{"token": text, "top_logprobs": likely}]}
    return 200, {}, {"choices": [{"message": {"content": text}, "finish_reason": finish, "logprobs": logprobs}]}


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(reply: Callable[[int, dict[str, Any]], Reply]) -> Server:
        servers.append(Server(reply))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


IMAGE = Image.new("RGB", (40, 20), "red")


def prompt_of(body: dict[str, Any]) -> str:
    return body["messages"][0]["content"][1]["text"]


def test_every_prompt_gets_its_own_answer_in_order(serve):
    server = serve(lambda _, body: says(prompt_of(body).removeprefix("say ")))
    judge = EndpointJudge(server.url, "vlm", concurrency=3)
    answers = judge.answer([IMAGE, IMAGE], [["say 1", "say 2"], ["say 3", "say 4"]], max_new_tokens=5)
    assert [[answer.text for answer in row] for row in answers] == [["1", "2"], ["3", "4"]]
    assert all(answer.is_whole for row in answers for answer in row)
    body, _ = server.requests[0]
    assert (body["model"], body["max_tokens"], body["temperature"]) == ("vlm", 5, 0)
    kinds = [part["type"] for part in body["messages"][0]["content"]]
    assert kinds == ["image_url", "text"]
    assert body["messages"][0]["content"][0]["image_url"]["url"].startswith("data:image/png;base64,")


def test_first_tokens_and_the_end_are_read(serve):
    likely = [{"token": " 80", "logprob": -0.1}, {"token": "80", "logprob": -3.0}, {"token": "9", "logprob": -2.0}]
    server = serve(lambda *_: says("80", "length", likely))
    ((answer,),) = EndpointJudge(server.url, "vlm").answer([IMAGE], [["how good?"]], 2)
    assert not answer.is_whole
    assert answer.first_tokens == pytest.approx({"80": 0.9048 + 0.0498, "9": 0.1353}, abs=1e-3)


def test_what_fails_for_a_while_is_tried_again_with_growing_pauses(serve):
    replies: dict[int, Reply] = {1: (503, {}, {}), 2: (429, {"Retry-After": "7"}, {}), 3: (200, {}, b"not json")}
    server = serve(lambda number, _: replies.get(number, says("55")))
    pauses: list[float] = []
    judge = EndpointJudge(server.url, "vlm", first_pause=0.5, sleep=pauses.append)
    assert judge.answer([IMAGE], [["?"]], 5)[0][0].text == "55"
    assert pauses == [0.5, 7.0, 2.0]


@pytest.mark.parametrize(
    ("asked", "pause"),
    [
        ("90", 90.0),
        ("1.5", 1.5),
        ("Thu, 01 Jan 1970 00:16:45 GMT", 5.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.5),
        ("86400", 3600.0),
        ("-3", 0.5),
        ("soon", 0.5),
    ],
)
def test_the_pause_that_a_server_asks_for_is_kept(serve, asked: str, pause: float):
    server = serve(lambda number, _: (429, {"Retry-After": asked}, {}) if number == 1 else says("1"))
    pauses: list[float] = []
    judge = EndpointJudge(server.url, "vlm", first_pause=0.5, sleep=pauses.append, now=lambda: 1000.0)
    judge.answer([IMAGE], [["?"]], 5)
    assert pauses == [pause]


def test_a_reply_that_is_no_json_is_shown(serve):
    server = serve(lambda *_: (200, {}, b"<html>busy</html>"))
    judge = EndpointJudge(server.url, "vlm", attempts=2, sleep=lambda _: None)
    with pytest.raises(HardwareError, match=r"<html>busy</html>.*expected JSON"):
        judge.answer([IMAGE], [["?"]], 5)


def test_an_answer_in_parts_is_joined_and_a_filtered_one_is_a_refusal(serve):
    parts = [{"type": "text", "text": "8"}, {"type": "text", "text": "5"}]
    filtered = {"choices": [{"message": {"content": None}, "finish_reason": "content_filter"}]}
    whole = {"choices": [{"message": {"content": parts}, "finish_reason": "stop"}]}
    server = serve(lambda _, body: (200, {}, filtered if "bad" in prompt_of(body) else whole))
    answers = EndpointJudge(server.url, "vlm").answer([IMAGE, IMAGE], [["bad"], ["good"]], 5)
    assert [(row[0].text, row[0].refusal) for row in answers] == [("", JudgeReason.REFUSED), ("85", None)]


def test_an_endpoint_that_stays_away_is_an_error_that_says_how_to_go_on(serve):
    server = serve(lambda *_: (500, {}, {"error": "out of memory"}))
    judge = EndpointJudge(server.url, "vlm", attempts=3, sleep=lambda _: None)
    with pytest.raises(HardwareError, match=r"in 3 attempts.*out of memory") as error:
        judge.answer([IMAGE], [["?"]], 5)
    assert "finished shards are kept" in error.value.hint
    assert len(server.requests) == 3


def test_nobody_there_is_the_same_error():
    judge = EndpointJudge("http://127.0.0.1:9/v1", "vlm", attempts=2, sleep=lambda _: None)
    with pytest.raises(HardwareError, match="gave no answer in 2 attempts"):
        judge.answer([IMAGE], [["?"]], 5)


def test_a_refused_request_is_that_samples_refusal(serve):
    server = serve(lambda _, body: (400, {}, {}) if "bad" in prompt_of(body) else says("1"))
    answers = EndpointJudge(server.url, "vlm").answer([IMAGE, IMAGE], [["bad"], ["good"]], 5)
    assert [row[0].refusal for row in answers] == [JudgeReason.REFUSED, None]
    assert len(server.requests) == 2


@pytest.mark.parametrize("reply", [(401, {}, {}), (404, {}, {}), (200, {}, {"choices": []}), (200, {}, [])])
def test_a_wrong_configuration_stops_at_once(serve, reply: Reply):
    server = serve(lambda *_: reply)
    with pytest.raises(ConfigError):
        EndpointJudge(server.url, "vlm").answer([IMAGE], [["?"]], 5)
    assert len(server.requests) == 1


def test_the_key_comes_from_the_environment(serve, monkeypatch):
    server = serve(lambda *_: says("1"))
    with pytest.raises(ConfigError, match="OWN_KEY"):
        EndpointJudge(server.url, "vlm", key_variable="OWN_KEY")
    monkeypatch.setenv("OWN_KEY", "secret")
    judge = EndpointJudge(server.url, "vlm", key_variable="OWN_KEY")
    judge.answer([IMAGE], [["?"]], 5)
    assert server.requests[0][1]["Authorization"] == "Bearer secret"
    assert judge.fingerprint() == EndpointJudge("http://elsewhere/v1", "vlm", concurrency=1).fingerprint()
    assert judge.fingerprint() != EndpointJudge("http://elsewhere/v1", "vlm", revision="2").fingerprint()


def test_an_address_of_another_kind_is_refused():
    with pytest.raises(ConfigError, match="expected http"):
        EndpointJudge("file:///etc/passwd", "vlm")
