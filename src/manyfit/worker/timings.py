"""How long driver, workers and Spark wait for one another."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds that parts of a study on a cluster wait. Tests have shorter ones; nobody else needs.

    Attributes:
        ping: How often workers hear from the driver, whatever that is busy with.
        beat: How often the driver hears from a worker, whatever its trial is busy with.
        log: How often new lines of a log go home.
        silence: How long the other end may say nothing, or take no data, before it is gone.
        handshake: What strangers are given to prove who they are.
        answer: How long a session may take to answer: a Connect client whose server is gone tries
            for ten minutes.
        probe: How often it is looked whether the session is still there.
        aftermath: How long Spark may take to end a session after the jobs that died with it.
        patience: How long something is waited for until people are told; also what executors have
            to come where settings promise none.
        outage: How long jobs may fail while there is no worker: a cluster may be restarting.
        pause: Before a job is begun again, the first time.
        home: How long it may take, at a study's end, until another of its Spark jobs has ended.
        cancel: How long Spark may take to end a job: it kills a Python worker after 2 to 4 seconds.
        window: How long slots must have been idle before another trial is let in.
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
