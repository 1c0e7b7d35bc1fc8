# Expect: STATUS_OK
import time
marks = [time.perf_counter_ns() for _ in range(10**4)]
max(b - a for a, b in zip(marks, marks[1:])) > 0
