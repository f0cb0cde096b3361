"""One thread that owns an MLX model and its batch of running answers.

MLX's arrays and streams belong to the thread that made them, so everything that touches them happens there: loading,
joining a running batch, the steps, leaving. Others send commands and get tokens.
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from llmservice.errors import ModelLoadError, ServiceError

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """A token of an answer."""

    token: int
    logprob: float | None
    top: tuple[tuple[int, float], ...]
    finish: str | None
    """`stop` at the model's own end, `length` at the limit, None before."""


@dataclasses.dataclass(frozen=True, slots=True)
class Task:
    """An answer to be written. `sampler` and `processors` are made in the engine's thread."""

    prompt: Sequence[int]
    max_tokens: int
    make_sampler: Callable[[], Any]
    make_processors: Callable[[], list[Any]]
    logprobs: int | None
    deliver: Callable[[Step | Exception], None]
    """Called in the engine's thread, for every token and at most once with an error."""


class MlxEngine:
    """Runs the batch while there is work and sleeps otherwise."""

    def __init__(self, path: Path, slots: int) -> None:
        """Load a model; blocks. Raises `ModelLoadError`."""
        self._path = path
        self._slots = slots
        self._commands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._numbers = itertools.count()
        self._uids: dict[int, int] = {}
        self._tasks: dict[int, tuple[int, Task]] = {}
        self._closed = False
        self._gate = threading.Lock()
        self._ended = False
        self._loaded: threading.Event = threading.Event()
        self._error: Exception | None = None
        self.tokenizer: Any = None
        self._thread = threading.Thread(target=self._run, name="mlx", daemon=True)
        self._thread.start()
        self._loaded.wait()
        if self._error is not None:
            self._thread.join()
            raise self._error

    def add(self, task: Task) -> int:
        """Have an answer join the batch at the next step; return its number."""
        number = next(self._numbers)
        with self._gate:
            if not self._ended:
                self._commands.put(lambda: self._insert(number, task))
                return number
        task.deliver(_unloaded())
        return number

    def remove(self, number: int) -> None:
        """Have an answer leave the batch at the next step, if it is still in it."""
        self._commands.put(lambda: self._drop(number))

    def close(self) -> None:
        """End the thread and release the model; answers that still run fail. Blocks."""
        self._commands.put(self._end)
        self._thread.join()

    def _run(self) -> None:
        try:
            self._load()
        except Exception as error:  # whatever a model's files bring about must reach who loads it
            self._error = error if isinstance(error, ModelLoadError) else _load_error(self._path, error)
            return
        finally:
            self._loaded.set()
        while not self._closed:
            try:
                self._work()
            except Exception as error:
                log.exception("The batch of %d answers failed", len(self._tasks))
                self._restart(ServiceError(f"The model failed: {error}"))
        with self._gate:
            self._ended = True
            while not self._commands.empty():
                self._commands.get()()
        self._fail_all(_unloaded())
        self._release()

    def _load(self) -> None:
        import mlx_lm

        self._model, self.tokenizer = mlx_lm.load(str(self._path))[:2]
        self._make_generator()

    def _make_generator(self) -> None:
        from mlx_lm.generate import BatchGenerator

        ends = [[token] for token in sorted(self.tokenizer.eos_token_ids)]
        self._generator: Any = BatchGenerator(
            self._model,
            stop_tokens=ends,
            completion_batch_size=self._slots,
            prefill_batch_size=min(8, self._slots),
        )

    def _work(self) -> None:
        """Obey what has been commanded, then take one step."""
        if not self._tasks:
            self._commands.get()()
        while not self._commands.empty():
            self._commands.get()()
        if not self._tasks or self._closed:
            return
        for response in self._generator.next_generated():
            self._deliver(response)

    def _deliver(self, response: Any) -> None:
        if response.uid not in self._tasks:
            return
        number, task = self._tasks[response.uid]
        if response.finish_reason is not None:
            del self._tasks[response.uid], self._uids[number]
        own, top = _logprobs(response, task.logprobs)
        task.deliver(Step(int(response.token), own, top, response.finish_reason))

    def _insert(self, number: int, task: Task) -> None:
        if self._closed:
            task.deliver(_unloaded())
            return
        try:
            (uid,) = self._generator.insert(
                [list(task.prompt)],
                max_tokens=[task.max_tokens],
                samplers=[task.make_sampler()],
                logits_processors=[task.make_processors()],
            )
        except Exception as error:
            log.exception("An answer could not join the batch")
            task.deliver(ServiceError(f"The model cannot begin this answer: {error}"))
            return
        self._uids[number] = uid
        self._tasks[uid] = (number, task)

    def _drop(self, number: int) -> None:
        uid = self._uids.pop(number, None)
        if uid is not None:
            self._generator.remove([uid])
            del self._tasks[uid]

    def _end(self) -> None:
        self._closed = True

    def _restart(self, error: Exception) -> None:
        """Give up the batch, whose state is unknown, and begin with an empty one."""
        self._fail_all(error)
        self._generator.close()
        self._make_generator()

    def _fail_all(self, error: Exception) -> None:
        for _, task in self._tasks.values():
            task.deliver(error)
        self._tasks.clear()
        self._uids.clear()

    def _release(self) -> None:
        import mlx.core as mx

        self._generator.close()
        del self._generator, self._model
        mx.clear_cache()


def _logprobs(response: Any, wanted: int | None) -> tuple[float | None, tuple[tuple[int, float], ...]]:
    """Return a token's log probability and the best alternatives, the token itself among them or not."""
    if wanted is None:
        return None, ()
    import mlx.core as mx
    import numpy as np

    values = np.array(response.logprobs.astype(mx.float32))
    best = np.argsort(-values, kind="stable")[:wanted]
    return float(values[response.token]), tuple((int(token), float(values[token])) for token in best)


def _unloaded() -> ServiceError:
    return ServiceError("The model was unloaded before the answer ended")


def _load_error(path: Path, error: Exception) -> ModelLoadError:
    if isinstance(error, ImportError) and (error.name or "").startswith("mlx"):
        return ModelLoadError("The backend mlx needs the packages mlx and mlx-lm; install lightrag-server[mlx]")
    return ModelLoadError(
        f"MLX could not load {path}: {str(error).strip()[:500]}. The files are damaged or incomplete, or mlx-lm does "
        "not know the model's type; download them again, or use the model's GGUF form with the backend llamacpp"
    )
