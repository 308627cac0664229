"""The times for which driver, workers and Spark wait for one another."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timings:
    """Intervals and timeouts of a study on a cluster, in seconds. Only tests change them.

    Attributes:
        ping: The interval at which workers hear from the driver, however busy it is.
        beat: The interval at which the driver hears from a worker, however busy its trial is.
        log: The interval at which new lines of a log are sent to the driver.
        silence: The time after which the other end, if it sends nothing or accepts no data, is
            considered gone.
        handshake: The time in which a new connection must authenticate.
        answer: The time in which a session must answer: a Connect client whose server is gone
            retries for ten minutes.
        probe: The interval at which the session is checked.
        aftermath: The time that Spark may take to end a session after the jobs that died with it.
        patience: The time to wait for something before the user is told; also the time in which
            executors must arrive if the settings request none.
        outage: The time for which jobs may fail while there is no worker: a cluster may be
            restarting.
        pause: The time before a failed job is started again, the first time.
        home: At a study's end, the longest time between the ends of two of its Spark jobs.
        cancel: The time that Spark may take to end a job: it kills a Python worker after 2 to 4
            seconds (`spark.python.task.killTimeout`).
        window: The time for which slots must have been idle before another trial is admitted.
    """

    ping: float = 5.0
    beat: float = 2.0
    log: float = 0.5
    silence: float = 60.0
    handshake: float = 10.0
    answer: float = 20.0
    probe: float = 10.0
    aftermath: float = 0.5
    patience: float = 20.0
    outage: float = 30.0
    pause: float = 0.5
    home: float = 4.0
    cancel: float = 6.0
    window: float = 5.0


USUAL = Timings()
