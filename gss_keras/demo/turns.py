"""A fair job queue, so that several visitors can share one model."""

import collections
import concurrent.futures
import threading


class Turns:
    """Run jobs in one worker thread, round-robin between visitors.

    The jobs of one visitor run in the order of submission. A visitor who
    submits many jobs does not delay the others by more than one of them.

    Example:
        >>> turns = Turns()
        >>> turns.submit("Ada", pow, 2, 3).result()
        8
        >>> turns.close()
    """

    def __init__(self):
        self._jobs = collections.OrderedDict()
        self._condition = threading.Condition()
        self._is_open = True
        self._thread = threading.Thread(
            target=self._work, name="segmenter", daemon=True
        )
        self._thread.start()

    def submit(self, visitor, function, *arguments):
        """Submit a job.

        Args:
            visitor: Id of the visitor, a str.
            function: Function to call.
            *arguments: Its positional arguments.

        Returns:
            A `concurrent.futures.Future` of the result. It can be canceled
            until the job starts.
        """
        future = concurrent.futures.Future()
        with self._condition:
            jobs = self._jobs.setdefault(visitor, collections.deque())
            jobs.append((future, function, arguments))
            self._condition.notify()
        return future

    def close(self):
        """Cancel the queued jobs and wait for the running one.

        A backend that still computes when Python exits would crash.
        """
        with self._condition:
            self._is_open = False
            for jobs in self._jobs.values():
                for future, _, _ in jobs:
                    future.cancel()
            self._jobs.clear()
            self._condition.notify()
        self._thread.join()

    def _next(self):
        """Wait for the next job and return it, None after `close`."""
        with self._condition:
            self._condition.wait_for(lambda: self._jobs or not self._is_open)
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
            # Raised where the result of the future is requested.
            except BaseException as error:
                future.set_exception(error)
