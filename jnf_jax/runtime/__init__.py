"""Where a program runs: devices, processes, host memory, batches of one size."""
