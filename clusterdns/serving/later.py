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


class Future(Awaitable[Any], Protocol):
    """What is needed of asyncio's."""

    def done(self) -> bool: ...

    def set_result(self, result: Any, /) -> None: ...

    def set_exception(self, exception: BaseException, /) -> None: ...


class Later(Generic[T]):
    """A value to come. It has one owner: who got it may change it, conclude it, and consume or await it once.

    create_future: the event loop's, for those who await.
    """

    __slots__ = ("_conclusion", "_consumer", "_create_future", "_error", "_steps", "_value", "done")

    def __init__(self, create_future: Callable[[], Future]) -> None:
        self._create_future = create_future
        self._steps: list[Callable[[Any], Any]] = []
        self._conclusion: Callable[[Any, Exception | None], Any] | None = None
        self._consumer: Callable[[Any], None] | None = None
        self._value: Any = None
        self._error: Exception | None = None
        self.done = False

    def set(self, value: Any) -> None:
        """The value is there: change it, conclude it, hand it to the consumer. Only the first value counts."""
        if self.done:
            return
        self.done = True
        try:
            for step in self._steps:
                value = step(value)
        except Exception as error:
            self._error = error
        if self._conclusion is not None:
            value, self._error = self._conclusion(value, self._error), None
        self._value = value
        if self._consumer is not None:
            self._consumer(value)

    def change(self, step: Callable[[T], T]) -> Later[T]:
        """Apply ``step`` to the value; not if a step before it has failed."""
        if not self.done:
            self._steps.append(step)
        elif self._error is None:
            try:
                self._value = step(self._value)
            except Exception as error:
                self._error = error
        return self

    def conclude(self, conclusion: Callable[[T, Exception | None], Any]) -> Later[Any]:
        """The last step: it is given the error of a step that failed, or None, and makes another value."""
        if self.done:
            self._value, self._error = conclusion(self._value, self._error), None
        else:
            self._conclusion = conclusion
        return self

    def consume(self, consumer: Callable[[T], None]) -> None:
        """Call ``consumer`` with the value; to be used once all steps are there and the last one is a conclusion."""
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
