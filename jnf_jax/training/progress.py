"""How far training is: a line for the reader, and means for the log."""

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from tqdm import tqdm


class Progress:
    """A line with stage, step, loss, samples/s and time left, on stderr.

    A bar on a terminal, refreshed at most twice a second; elsewhere a plain line every
    ten seconds, so that log files stay readable.
    """

    def __init__(self, stage: str, total: int, start: int):
        """Starts the clock at step ``start`` of ``total``."""
        self._stage, self._total = stage, total
        terminal = sys.stderr.isatty()
        self._interval = 0.5 if terminal else 10.0
        self._step, self._time = start, time.monotonic()
        self._rate: float | None = None  # steps a second, smoothed
        self._bar = None
        if terminal:
            self._bar = tqdm(
                total=total,
                initial=start,
                desc=stage,
                bar_format="{desc} |{bar}| {n_fmt}/{total_fmt}{postfix}",
            )

    def update(self, step: int, loss: float, batch_size: int) -> None:
        """Shows the step reached and a recent loss, if the last time is long ago."""
        elapsed = time.monotonic() - self._time
        if elapsed < self._interval and step < self._total:
            return
        rate = (step - self._step) / max(elapsed, 1e-9)
        # The first interval holds the compilation, and counts only until the second.
        smooth = self._rate is not None and self._rate > 0.5 * rate
        self._rate = 0.7 * self._rate + 0.3 * rate if smooth else rate
        self._step, self._time = step, time.monotonic()
        left = (self._total - step) / max(self._rate, 1e-9)
        text = describe_progress(loss, self._rate * batch_size, left)
        if self._bar is None:
            line = f"{self._stage} {step}/{self._total}, {text}"
            print(line, file=sys.stderr, flush=True)
        else:
            self._bar.set_postfix_str(text, refresh=False)
            self._bar.update(step - self._bar.n)
            self._bar.refresh()

    def close(self) -> None:
        """Ends the bar's line."""
        if self._bar is not None:
            self._bar.close()


def describe_progress(loss: float, samples_per_second: float, left: float) -> str:
    """The changing part of a progress line.

    Args:
      loss: a recent one.
      samples_per_second: rate of training.
      left: expected seconds to the end.

    Returns:
      One line.

    >>> describe_progress(1.25, 2048.0, 75.0)
    'loss 1.25, 2,048 samples/s, 1:15 left'
    """
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
