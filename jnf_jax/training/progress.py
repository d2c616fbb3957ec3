"""Reports how far training is: a line for the reader, and means for the log."""

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from tqdm import asyncio, auto


class Clock:
    """Seconds of training: what is done inside ``paused`` does not count."""

    def __init__(self):
        self._paused = 0.0

    def now(self) -> float:
        """The time, of no meaning but in differences."""
        return time.monotonic() - self._paused

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Stands still."""
        begin = time.monotonic()
        yield
        self._paused += time.monotonic() - begin


class Progress:
    """Tells how far a stage is: step, loss, samples/s and time left, on stderr.

    In a terminal and in a notebook it is a bar, elsewhere a plain line every ten
    seconds, so that log files stay readable. It says that a stage compiles before its
    first call returns, and estimates the time left only from steps taken after that.
    """

    def __init__(
        self,
        stage: str,
        total: int,
        start: int,
        *,
        first: str = "compiling…",
        is_shown: bool = True,
        clock: Clock | None = None,
    ):
        """Says what comes ``first``, at step ``start`` of ``total``."""
        self._stage, self._total, self._is_shown = stage, total, is_shown
        self._clock = clock or Clock()
        self._step, self._time = start, None  # no time before the first call
        self._rate: float | None = None  # steps a second, smoothed
        self._bar, self._interval = None, 10.0
        if not is_shown:
            return
        if sys.stderr.isatty() or auto.tqdm is not asyncio.tqdm:  # or a notebook's
            self._interval = 0.5
            self._bar = auto.tqdm(
                total=total,
                initial=start,
                desc=f"stage {stage}",
                bar_format="{desc} |{bar}| {n_fmt}/{total_fmt}{postfix}",
            )
        self._show(start, first)

    def update(self, step: int, loss: float, batch_size: int) -> None:
        """Shows the step reached and a recent loss, if the last time is long ago."""
        if not self._is_shown:
            return
        now, is_last = self._clock.now(), step == self._total
        if self._time is None:  # the first call is over, and with it compilation
            self._step, self._time = step, now
            if not is_last:
                return
        elapsed = now - self._time
        if elapsed < self._interval and not is_last:
            return
        if step > self._step:
            rate = (step - self._step) / max(elapsed, 1e-9)
            before = rate if self._rate is None else self._rate
            self._rate = 0.7 * before + 0.3 * rate
        self._step, self._time = step, now
        samples = self._rate and self._rate * batch_size
        left = self._rate and (self._total - step) / self._rate
        self._show(step, describe_progress(loss, samples, left))

    def _show(self, step: int, text: str) -> None:
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)
            self._bar.update(step - self._bar.n)
            self._bar.refresh()
            return
        place = f"step {step:,} of {self._total:,}, " if self._time is not None else ""
        print(f"stage {self._stage}: {place}{text}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Ends the bar's line."""
        if self._bar is not None:
            self._bar.close()


def describe_progress(
    loss: float, samples_per_second: float | None, left: float | None
) -> str:
    """The changing part of a progress line: a recent loss, the rate, seconds ``left``.

    Both are None before any step was timed.

    >>> describe_progress(1.25, 2048.0, 75.0)
    'loss 1.25, 2,048 samples/s, 1:15 left'
    >>> describe_progress(1.25, None, None)
    'loss 1.25'
    """
    if samples_per_second is None or left is None:
        return f"loss {loss:.5g}"
    minutes, seconds = divmod(round(min(left, 360_000.0)), 60)
    hours, minutes = divmod(minutes, 60)
    clock = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return (
        f"loss {loss:.5g}, {samples_per_second:,.0f} samples/s, "
        f"{clock}:{seconds:02d} left"
    )


def summarise(metrics: list[dict[str, Any]]) -> dict[str, float]:
    """The mean of each metric over steps or batches, one or several in each of a list.

    A "…/first_<event>" is 0 where the event did not come; it becomes the smallest of
    the others: in a mean the zeros would hide how early it comes where it does.

    >>> summarise([{"loss": 0.0, "a/first_stop": 7}, {"loss": 3.0, "a/first_stop": 0}])
    {'a/first_stop': 7.0, 'loss': 1.5}
    """
    found, fetched = {}, jax.device_get(metrics)
    for name in fetched[0]:
        flat = np.concatenate([np.ravel(of_call[name]) for of_call in fetched])
        is_first = "/first_" in name
        found[name] = float(min(flat[flat > 0], default=0) if is_first else flat.mean())
    return found


class MetricsWindow:
    """Metrics of the steps since the last log line, left on the device until then."""

    def __init__(self, first_step: int, clock: Clock | None = None):
        """Starts at ``first_step``, now."""
        self.first_step, self._clock = first_step, clock or Clock()
        self._metrics: list[dict[str, Any]] = []
        self._start = self._clock.now()

    def add(self, metrics: dict[str, Any]) -> None:
        """Keeps the metrics of a call, without waiting for them."""
        self._metrics.append(metrics)

    def largest(self) -> dict[str, float]:
        """The largest value of every metric in these steps."""
        fetched = jax.device_get(self._metrics)
        names = fetched[0] if fetched else ()
        return {n: float(max(np.max(m[n]) for m in fetched)) for n in names}

    def not_finite(self) -> list[str]:
        """Names of the metrics that are NaN or infinite in one of these steps."""
        fetched = jax.device_get(self._metrics)
        names = fetched[0] if fetched else ()
        return [n for n in names if not all(np.isfinite(m[n]).all() for m in fetched)]

    def summary(self, step: int, batch_size: int) -> dict[str, float]:
        """Every metric up to ``step``, summarised, and ``samples_per_second``."""
        found = summarise(self._metrics)
        samples = (step - self.first_step) * batch_size
        elapsed = self._clock.now() - self._start
        return {**found, "samples_per_second": samples / elapsed}
