"""Let several people share one model: one job at a time, in turns."""

import collections
import concurrent.futures
import threading


class Turns:
    """Runs jobs in one thread, taking turns between visitors.

    The jobs of one visitor run in the order they came in, but whoever sends
    many waits no less than those who send few wait for them.

    Example:
        >>> turns = Turns()
        >>> turns.submit("Ada", pow, 2, 3).result()
        8
        >>> turns.close()
    """

    def __init__(self):
        self._jobs = collections.OrderedDict()
        self._change = threading.Condition()
        self._is_open = True
        self._thread = threading.Thread(
            target=self._work, name="segmenter", daemon=True
        )
        self._thread.start()

    def submit(self, visitor, function, *arguments):
        """Put a job in line.

        Args:
            visitor: Whose job it is, a str.
            function: What to call.
            *arguments: What to call it with.

        Returns:
            A `concurrent.futures.Future` of the result. While the job has
            not begun, it can be canceled.
        """
        future = concurrent.futures.Future()
        with self._change:
            jobs = self._jobs.setdefault(visitor, collections.deque())
            jobs.append((future, function, arguments))
            self._change.notify()
        return future

    def close(self):
        """Drop the jobs that wait, and wait for the one that runs.

        A backend that computes while Python ends would crash.
        """
        with self._change:
            self._is_open = False
            for jobs in self._jobs.values():
                for future, _, _ in jobs:
                    future.cancel()
            self._jobs.clear()
            self._change.notify()
        self._thread.join()

    def _next(self):
        """Wait for the next job; None when closed."""
        with self._change:
            self._change.wait_for(lambda: self._jobs or not self._is_open)
            if not self._jobs:
                return None
            visitor, jobs = self._jobs.popitem(last=False)
            job = jobs.popleft()
            if jobs:
                self._jobs[visitor] = jobs
            return job

    def _work(self):
        while job := self._next():
            future, function, arguments = job
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(function(*arguments))
            # Whoever waits for the future gets to see it.
            except BaseException as error:
                future.set_exception(error)
