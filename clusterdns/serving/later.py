# SPDX-License-Identifier: Apache-2.0
"""A value that is there later, without a task or a coroutine for it.

Thousands of queries a second wait for other servers. A task with a coroutine for each plugin on the way costs as much
as all the rest that is done for such a query. So a plugin that waits for a socket returns a ``Later``: what the plugins
and the engine do to the reply is kept as a list of functions, which run in the call that sets the value. It can be
awaited, too, by those who don't know it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")
U = TypeVar("U")


class Future(Awaitable[Any], Protocol):
    """What is needed of asyncio's."""

    def done(self) -> bool: ...

    def set_result(self, result: Any, /) -> None: ...

    def set_exception(self, exception: BaseException, /) -> None: ...


class Later(Generic[T]):
    """A value to come, or the error that there is in its place.

    It has one owner: who got it may add steps, and consume or await it once.

    create_future: the event loop's, for those who await.
    """

    __slots__ = ("_consumer", "_create_future", "_error", "_steps", "_value", "done")

    def __init__(self, create_future: Callable[[], Future]) -> None:
        self._create_future = create_future
        self._steps: list[tuple[Callable[..., Any], bool]] = []
        self._consumer: Callable[[Any], None] | None = None
        self._value: Any = None
        self._error: Exception | None = None
        self.done = False

    def set(self, value: Any) -> None:
        """The value is there: take the steps, and hand it to the consumer. Only the first value or error counts."""
        if not self.done:
            self._value = value
            self._settle()

    def fail(self, error: Exception) -> None:
        """There will be no value."""
        if not self.done:
            self._error = error
            self._settle()

    def _settle(self) -> None:
        self.done = True
        for step, concludes in self._steps:
            self._take(step, concludes)
        if self._consumer is not None:
            self._consumer(self._value)

    def _take(self, step: Callable[..., Any], concludes: bool) -> None:
        error = self._error
        try:
            if concludes:
                self._error = None
                self._value = step(self._value, error)
            elif error is None:
                self._value = step(self._value)
        except Exception as raised:
            self._error = raised

    def change(self, step: Callable[[T], U]) -> Later[U]:
        """Put in place of the value what ``step`` makes of it; not if a step before it has failed."""
        return self._add(step, False)

    def conclude(self, step: Callable[[T, Exception | None], U]) -> Later[U]:
        """The same with a step that is given the error of one that failed before it, or None."""
        return self._add(step, True)

    def _add(self, step: Callable[..., Any], concludes: bool) -> Later[Any]:
        if self.done:
            self._take(step, concludes)
        else:
            self._steps.append((step, concludes))
        return self

    def consume(self, consumer: Callable[[T], None]) -> None:
        """Call ``consumer`` with the value; to be used once all steps are there, the last one a conclusion."""
        if self.done:
            consumer(self._value)
        else:
            self._consumer = consumer

    def __await__(self) -> Generator[Any, Any, T]:
        if not self.done:
            future = self._create_future()
            self._consumer = lambda value: None if future.done() else future.set_result(None)
            yield from future.__await__()
        if self._error is not None:
            raise self._error
        value: T = self._value
        return value
