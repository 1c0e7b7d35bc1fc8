# Expect: STATUS_ERROR
from concurrent.futures import ThreadPoolExecutor
ThreadPoolExecutor().submit(print).result()
