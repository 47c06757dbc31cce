"""Run one function over many shards: in this process, in a pool of local processes, or on a Ray cluster."""

from __future__ import annotations

import itertools
import logging
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker
from multiprocessing.process import BaseProcess
from threading import Thread
from typing import Any, TypeVar

from tqdm import tqdm

from oqvl_shards.config import Engine
from oqvl_shards.errors import ConfigError, HardwareError, MissingExtraError, OqvlError, require_extra

TASKS_PER_CPU = 2
"""Items that wait on a Ray cluster for every CPU it has, so that none idles while results travel."""


Item = TypeVar("Item")
Result = TypeVar("Result")


def map_shards(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    num_workers: int = 0,
    engine: Engine = Engine.LOCAL,
    description: str = "",
    unit: str = "shard",
    name: Callable[[Item], str] = str,
) -> list[Result]:
    """Return `[function(item) for item in items]`, with progress on stderr when it is a terminal.

    What is done for an item must not depend on the process it is done in, so that every number of workers gives the
    same output.

    Args:
        function: What to do. With several workers it, the items and the results travel between processes, so it is a
            function of a module, or a `functools.partial` of one.
        items: What to do it to.
        num_workers: Processes to start; 0 and 1 work in this process. On Ray: items worked on at once; 0 and 1 mean as
            many as the cluster has CPUs.
        engine: `RAY` sends every item as a task to the Ray cluster that this process is connected to, to that of
            `RAY_ADDRESS`, or to one that it starts on this machine. The machines must see the same files under the same
            paths and have the same packages.
        description: Title of the progress bar.
        unit: What an item is, for the progress bar.
        name: Gives the name of an item in error messages.

    Raises:
        OqvlError: The first one that `function` raises, of the type it raised, with the item's name before its message;
            items that have not begun are dropped.
        HardwareError: If a worker process dies, for want of memory for instance.
        MissingExtraError: If Ray is asked for and not installed.
    """
    with tqdm(total=len(items), desc=description, unit=unit, disable=None) as progress:
        if engine is Engine.RAY:
            return _map_on_ray(function, items, num_workers, name, progress)
        if num_workers <= 1:
            return [_call(function, item, name, progress) for item in items]
        return _map_in_processes(function, items, num_workers, name, progress)


def prepare_workers(module: str, *, num_workers: int = 0, engine: Engine = Engine.LOCAL) -> None:
    """Let what the workers of a later `map_shards` need be imported from now on, while this process goes on.

    They are forked from a server: what it has imported, none of them imports again.

    Args:
        module: Where the function of that call is defined.
        num_workers: As in that call.
        engine: As in that call.
    """
    if engine is Engine.LOCAL and num_workers > 1:
        multiprocessing.get_context("forkserver").set_forkserver_preload(["__main__", module])
        _with_ctrl_c_blocked(forkserver.ensure_running)


def _call(function: Callable[[Item], Result], item: Item, name: Callable[[Item], str], progress: tqdm) -> Result:
    with _naming(item, name):
        result = function(item)
    progress.update()
    return result


def _map_in_processes(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    num_workers: int,
    name: Callable[[Item], str],
    progress: tqdm,
) -> list[Result]:
    # Forking this process could deadlock on its threads (Arrow, torch), so workers are forked from a clean server.
    context = multiprocessing.get_context("forkserver")
    others = multiprocessing.active_children()
    num_processes = min(num_workers, max(len(items), 1))
    executor = ProcessPoolExecutor(num_processes, mp_context=context, initializer=_end_with_parent)
    try:
        futures = _submit(executor, function, items)
        for future in as_completed(futures):
            with _naming(futures[future], name):
                future.result()
            progress.update()
        return [future.result() for future in futures]
    except KeyboardInterrupt:
        for worker in set(multiprocessing.active_children()).difference(others):
            worker.terminate()  # rather than wait for what it is at: that is done again, as after any kill
        raise
    finally:
        executor.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """Let this worker process end as soon as the process that it works for has ended, however that ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        Thread(target=_exit_after, args=(parent,), name="parent-watch", daemon=True).start()


def _exit_after(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)  # not sys.exit, which would wait for the work in hand


def _submit(
    executor: ProcessPoolExecutor, function: Callable[[Item], Result], items: Sequence[Item]
) -> dict[Future[Result], Item]:
    """Submit all items, and with them start the workers."""
    return _with_ctrl_c_blocked(lambda: {executor.submit(function, item): item for item in items})


def _with_ctrl_c_blocked(start: Callable[[], Result]) -> Result:
    """Start processes in which Ctrl-C is blocked, and let `start` do it.

    A terminal sends Ctrl-C to all processes at once, and they would print where they were. In this process it is
    blocked meanwhile, too, so that none of them is left half started, which could not be ended.
    """
    resource_tracker.ensure_running()  # started later, it would unblock
    blocked = (signal.SIG_BLOCK, {signal.SIGINT})
    with ThreadPoolExecutor(1, initializer=signal.pthread_sigmask, initargs=blocked) as thread:
        return thread.submit(start).result()


def _map_on_ray(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    num_workers: int,
    name: Callable[[Item], str],
    progress: tqdm,
) -> list[Result]:
    with require_extra("oqvl-shards", "ray"):
        import ray
    if not ray.is_initialized():
        ray.init(include_dashboard=False, logging_level=logging.WARNING)
    num_at_once = num_workers if num_workers > 1 else TASKS_PER_CPU * int(ray.cluster_resources().get("CPU", 1))
    # A machine may be taken away; work that kills its machine twice is to blame itself.
    work = ray.remote(max_retries=1)(_apply)
    shared_function = ray.put(function)
    results: dict[int, Result] = {}
    waiting: dict[Any, int] = {}
    unsent = iter(range(len(items)))
    try:
        while len(results) < len(items):
            for index in itertools.islice(unsent, num_at_once - len(waiting)):
                waiting[work.remote(shared_function, items[index])] = index
            (done,), _ = ray.wait(list(waiting), num_returns=1)
            index = waiting.pop(done)
            with _naming(items[index], name), _ray_errors_unwrapped():
                results[index] = ray.get(done)
            progress.update()
    finally:
        for reference in waiting:
            ray.cancel(reference, force=True)
    return [results[index] for index in range(len(items))]


def _apply(function: Callable[[Item], Result], item: Item) -> Result:
    return function(item)


@contextmanager
def _ray_errors_unwrapped() -> Iterator[None]:
    """Raise what the function raised, not what Ray made of it."""
    from ray.exceptions import OutOfMemoryError, RayTaskError, WorkerCrashedError

    try:
        yield
    except RayTaskError as error:
        raise error.cause from error
    except (OutOfMemoryError, WorkerCrashedError) as error:
        raise BrokenProcessPool(str(error)) from error


@contextmanager
def _naming(item: Item, name: Callable[[Item], str]) -> Iterator[None]:
    """Name `item` in the errors that leave the block."""
    try:
        yield
    except BrokenProcessPool as error:
        raise HardwareError(
            f"{name(item)}: a worker process died while this or a neighbouring item was worked on",
            hint="most often memory ran out: use fewer workers; in a script, call under `if __name__ == '__main__':`",
        ) from error
    except (ConfigError, HardwareError, MissingExtraError):
        raise  # no item is to blame for these
    except OqvlError as error:
        if not error.message.startswith((f"{name(item)} ", f"{name(item)}:")):
            error.message = f"{name(item)}: {error.message}"
        raise
    except Exception as error:
        error.add_note(f"while working on {name(item)}")
        raise
