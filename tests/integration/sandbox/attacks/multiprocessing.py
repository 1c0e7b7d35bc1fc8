# Expect: STATUS_ERROR
import multiprocessing
multiprocessing.Process(target=print).start()
