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

_TASKS_PER_CPU = 2
"""Tasks in flight per CPU of a Ray cluster. With one, a CPU would idle while its result travels."""


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
    """Return `[function(item) for item in items]`; show progress on stderr if it is a terminal.

    The result for an item must not depend on the process that computes it. Then every number of workers gives the same
    output.

    Worker processes end with their parent. If the parent is killed, its workers stop within a moment, in the middle of
    their items.

    Args:
        function: Called once per item. With several workers, the function, the items and the results are pickled, so it
            must be a module-level function, or a `functools.partial` of one.
        items: The argument of each call.
        num_workers: Number of worker processes; with 0 or 1, this process does the work. On Ray, the number of items in
            flight; 0 or 1 means two per CPU.
        engine: `RAY` sends every item as a task to a Ray cluster: the one that this process is connected to, or else
            the one at `RAY_ADDRESS`, or else a new one on this machine. All machines must see the same files under the
            same paths and have the same packages.
        description: Title of the progress bar.
        unit: What an item is, for the progress bar.
        name: Returns the name of an item for error messages.

    Raises:
        OqvlError: If `function` raises one. The first one is raised, of the same type, with the item's name in front of
            its message. Items that have not started are dropped.
        HardwareError: If a worker process dies, for example because memory runs out.
        MissingExtraError: If Ray is asked for and not installed.
    """
    with tqdm(total=len(items), desc=description, unit=unit, disable=None) as progress:
        if engine is Engine.RAY:
            return _map_on_ray(function, items, num_workers, name, progress)
        if num_workers <= 1:
            return [_call(function, item, name, progress) for item in items]
        return _map_in_processes(function, items, num_workers, name, progress)


def prepare_workers(module: str, *, num_workers: int = 0, engine: Engine = Engine.LOCAL) -> None:
    """Start importing, in the background, what the workers of a later `map_shards` call need.

    Workers are forked from a server process, so they do not have to import again what the server has imported.

    Args:
        module: The module that defines the function of that call.
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
    """Run all items in a pool of worker processes; see `map_shards`."""
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
            worker.terminate()  # do not wait for its item: the next run does it again, as after any kill
        raise
    finally:
        executor.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """End this worker process as soon as its parent ends, for any reason."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        Thread(target=_exit_after, args=(parent,), name="parent-watch", daemon=True).start()


def _exit_after(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)  # sys.exit would end this thread only, and the worker would finish its item


def _submit(
    executor: ProcessPoolExecutor, function: Callable[[Item], Result], items: Sequence[Item]
) -> dict[Future[Result], Item]:
    """Submit all items. This also starts the workers."""
    return _with_ctrl_c_blocked(lambda: {executor.submit(function, item): item for item in items})


def _with_ctrl_c_blocked(start: Callable[[], Result]) -> Result:
    """Return `start()`, with Ctrl-C blocked in the processes that it starts.

    A terminal sends Ctrl-C to all processes, and each worker would print a traceback. `start` runs in a thread that
    blocks the signal too, because a process that is interrupted during its start could no longer be ended.
    """
    resource_tracker.ensure_running()  # if it were started by `start`, it would unblock the signal
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
    """Run all items as tasks of a Ray cluster, a limited number of them at a time; see `map_shards`."""
    with require_extra("oqvl-shards", "ray"):
        import ray
    if not ray.is_initialized():
        ray.init(include_dashboard=False, logging_level=logging.WARNING)
    num_at_once = num_workers if num_workers > 1 else _TASKS_PER_CPU * int(ray.cluster_resources().get("CPU", 1))
    # Retry once, because a cluster may lose a machine. If an item kills its worker twice, the item is at fault.
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
    """Raise the function's own exception in place of the one that Ray wraps it in."""
    from ray.exceptions import OutOfMemoryError, RayTaskError, WorkerCrashedError

    try:
        yield
    except RayTaskError as error:
        raise error.cause from error
    except (OutOfMemoryError, WorkerCrashedError) as error:
        raise BrokenProcessPool(str(error)) from error


@contextmanager
def _naming(item: Item, name: Callable[[Item], str]) -> Iterator[None]:
    """Add the name of `item` to errors that are raised in the block."""
    try:
        yield
    except BrokenProcessPool as error:
        raise HardwareError(
            f"{name(item)}: a worker process died while working on this item or another one",
            hint="memory usually ran out: use fewer workers; in a script, call under `if __name__ == '__main__':`",
        ) from error
    except (ConfigError, HardwareError, MissingExtraError):
        raise  # these are not the fault of any item
    except OqvlError as error:
        if not error.message.startswith((f"{name(item)} ", f"{name(item)}:")):
            error.message = f"{name(item)}: {error.message}"
        raise
    except Exception as error:
        error.add_note(f"while working on {name(item)}")
        raise
