"""Reports how far training is: a line for the reader, and means for the log."""

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from tqdm import asyncio, auto


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
    ):
        """Says what comes ``first``, at step ``start`` of ``total``."""
        self._stage, self._total, self._is_shown = stage, total, is_shown
        self._step, self._time = start, None  # no clock before the first call
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
        now, is_last = time.monotonic(), step == self._total
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

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Time spent inside does not count as training."""
        begin = time.monotonic()
        yield
        if self._time is not None:
            self._time += time.monotonic() - begin

    def _show(self, step: int, text: str) -> None:
        if self._bar is None:
            step = (
                f"step {step:,} of {self._total:,}, " if self._time is not None else ""
            )
            print(f"stage {self._stage}: {step}{text}", file=sys.stderr, flush=True)
        else:
            self._bar.set_postfix_str(text, refresh=False)
            self._bar.update(step - self._bar.n)
            self._bar.refresh()

    def close(self) -> None:
        """Ends the bar's line."""
        if self._bar is not None:
            self._bar.close()


def describe_progress(
    loss: float, samples_per_second: float | None, left: float | None
) -> str:
    """The changing part of a progress line.

    Args:
      loss: a recent one.
      samples_per_second: rate of training; None before any step was timed.
      left: expected seconds to the end; None likewise.

    Returns:
      One line.

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


def summarise(name: str, values: list[Any]) -> float:
    """One number of a metric over steps or batches, of one or several each: its mean.

    A "…/first_<event>" is 0 where the event did not come; of it this is the smallest of
    the others: in a mean the zeros would hide how early it comes where it does.

    >>> summarise("loss", [0.0, 3.0]), summarise("chains/first_stop", [0, 7, 3])
    (1.5, 3.0)
    """
    flat = np.concatenate([np.ravel(value) for value in values])
    if "/first_" in name:
        return float(min(flat[flat > 0], default=0.0))
    return float(np.mean(flat))


class MetricsWindow:
    """Metrics of the steps since the last log line, left on the device until then."""

    def __init__(self, first_step: int):
        """Starts the clock at ``first_step``."""
        self.first_step = first_step
        self._metrics: list[dict[str, Any]] = []
        self._start = time.monotonic()

    def add(self, metrics: dict[str, Any]) -> None:
        """Keeps the metrics of a call, without waiting for them."""
        self._metrics.append(metrics)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Time spent inside does not count as training."""
        begin = time.monotonic()
        yield
        self._start += time.monotonic() - begin

    def largest(self) -> dict[str, float]:
        """The largest value of every metric in these steps."""
        fetched = jax.device_get(self._metrics)
        names = fetched[0] if fetched else ()
        return {n: float(max(np.max(m[n]) for m in fetched)) for n in names}

    def summary(self, step: int, batch_size: int) -> dict[str, float]:
        """Every metric up to ``step``, summarised, and ``samples_per_second``."""
        fetched = jax.device_get(self._metrics)
        found = {n: summarise(n, [m[n] for m in fetched]) for n in fetched[0]}
        elapsed = time.monotonic() - self._start
        samples = (step - self.first_step) * batch_size
        return {**found, "samples_per_second": samples / elapsed}
