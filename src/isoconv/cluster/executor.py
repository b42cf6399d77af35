"""Runs the steps of a training on workers of a Ray cluster, which may die and be joined by others.

A state has a number, and each worker knows that of its own. So after a death the driver asks those
who are left where they stand: whoever has made the update that was under way hands its weights to
those who have not, or the step goes on with the shards of the dead one run again. No checkpoint is
gone back to as long as a node with weights is left, or the driver has a copy.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from isoconv.cluster.audit import Auditor
from isoconv.cluster.connection import Connection, LostError
from isoconv.cluster.material import Material
from isoconv.cluster.roster import Member, Proof, Roster
from isoconv.cluster.shared_step import SharedStep, Tally
from isoconv.cluster.worker import State, Worker, flat_digest, state_digest
from isoconv.errors import IsoconvError, TrainingError
from isoconv.graph.operation import Array
from isoconv.nn import storage
from isoconv.printable import listed
from isoconv.run.step import StepGraph
from isoconv.run.training import TrainingEngine
from isoconv.wording import either

_TRIES = 8
"""So often a step is begun anew where sums are lost and nobody has died."""


class ClusterExecutor:
    """Runs the steps of a training on the workers of a cluster.

    Args:
        step, data, batch_size, shard_size, seed, threads, target, progress: as for an engine;
            threads are those of each worker, None for as many as it has processors.
        address: of the cluster.
        cpus: of each worker; None for all that its node has.
        audit: share of the runs of shards that are done twice.
        patience: seconds to wait for workers.
        kind: of the workers.
        connect: makes the connection to the cluster.

    Raises:
        MissingExtraError: Ray is not installed.
        TrainingError: no cluster answers, or no node of it can take part.
        NotEnoughMemoryError: training needs more memory than there is, here or on every node.
    """

    def __init__(
        self,
        step: StepGraph,
        data: Mapping[str, Array],
        *,
        batch_size: int,
        shard_size: int,
        seed: int,
        threads: int | None,
        target: str | None,
        progress: Callable[[int, int], None] | None = None,
        address: str = "auto",
        cpus: int | None = None,
        audit: float = 0.0,
        patience: float = 60.0,
        kind: type[Worker] = Worker,
        connect: Callable[[str], Connection] = Connection,
    ) -> None:
        settings: dict[str, Any] = {
            "batch_size": batch_size, "shard_size": shard_size, "seed": seed, "target": target,
        }  # fmt: skip
        self._lock = threading.RLock()
        self._batch_size, self._shard_size = batch_size, min(shard_size, batch_size)
        self._samples = len(next(iter(data.values())))
        self._patience, self._address = patience, address
        self._slots = step.slots
        self._news: list[str] = []
        self._person: Callable[[str], None] = self._news.append
        self._aloud = False
        self._tally = Tally()
        self._version = 0
        self._state: tuple[int, State] = 0, ({}, {}, {})
        self._epoch: tuple[int, Array, dict[str, Array]] | None = None
        self._begun: tuple[Any, ...] = ()
        self._torn = False
        self._open = ExitStack()
        try:
            self._connection = connect(address)
            self._open.callback(self._connection.close)
            self._own = TrainingEngine(step, data, threads=threads, progress=progress, **settings)
            self._open.callback(self._own.close)
            self._size = 4 * self._own.plan.sums.size
            # The first weights, two states, and sums that are under way.
            room = self._size * (4 + 2 * (1 + len(step.slots)))
            self._roster = Roster(
                self._connection, kind, cpus, threads, (self._connection.put(step), settings),
                Material(self._connection, data), room, patience, self._say, self._admit,
            )  # fmt: skip
            self._open.callback(self._roster.close)
            self._auditor = Auditor(
                audit, self._connection, self._roster, self._own_sums, self._say
            )
        except BaseException:
            self.close()
            raise

    def begin(self, tell: Callable[[str], None]) -> None:
        """Wait until workers are there who can begin.

        Args:
            tell: takes a line for a person, here and wherever everything waits for workers.

        Raises:
            IsoconvError: none have come.
        """
        with self._lock:
            self._person = tell
            self._gather("prepared")

    def _gather(self, stage: str) -> None:
        """Wait for workers who have come to a stage; what there is to say is said meanwhile."""
        self._aloud = True
        try:
            self._roster.gather(stage, self._patience)
        finally:
            self._aloud = False

    def _say(self, line: str) -> None:
        """A line for a person: at once where all wait, and between two calls otherwise."""
        (self._person if self._aloud else self._news.append)(line)

    # State --------------------------------------------------------------------------------------

    def load(
        self,
        parameters: Mapping[str, Array],
        states: Mapping[str, Array],
        slots: Mapping[str, Mapping[str, Array]] | None = None,
    ) -> None:
        """Weights and the optimizer's vectors, for all who take part."""
        with self._lock:
            zeros = {slot: {name: np.zeros_like(each) for name, each in parameters.items()}
                     for slot in self._slots}  # fmt: skip
            vectors = {slot: dict((slots or zeros)[slot]) for slot in self._slots}
            self._version += 1
            self._state = self._version, (dict(parameters), dict(states), vectors)
            self._tell(self._roster.ready, "load", self._version, self._connection.put(self._now()))

    def parameters(self) -> dict[str, Array]:
        """Copies of the parameters by name."""
        with self._lock:
            return _copies(self._now()[0])

    def states(self) -> dict[str, Array]:
        """Copies of the states by name."""
        with self._lock:
            return _copies(self._now()[1])

    def weights(self) -> dict[str, Array]:
        """Copies of parameters and states by name, all of the same moment."""
        with self._lock:
            parameters, states, _ = self._now()
            return _copies({**parameters, **states})

    def slots(self) -> dict[str, dict[str, Array]]:
        """Copies of the optimizer's vectors, by slot and parameter."""
        with self._lock:
            return {slot: _copies(vectors) for slot, vectors in self._now()[2].items()}

    def _now(self) -> State:
        """The state of the moment, of which the driver keeps a copy from now on.

        Raises:
            TrainingError: workers hold different ones, or all have died.
        """
        if not self._copied():
            raise self._all_gone()
        return self._state[1]

    def _all_gone(self) -> TrainingError:
        """What is said where nobody has the weights any more."""
        why = self._roster.reason
        return TrainingError(f"all workers have died{why}, and with them the weights; {_go_on()}")

    def _copied(self) -> bool:
        """Take a copy of the state of the moment; False where nobody is left who has it.

        Raises:
            TrainingError: workers hold different ones.
        """
        if self._torn and self._level("a step that was interrupted") is not None:
            self._version += 1
        self._torn = False
        while self._state[0] != self._version:
            members = self._roster.ready
            if not members:
                return False
            state = members[0].actor.state.remote()
            digests = [member.actor.digest.remote() for member in members[1:]]
            try:
                found = self._connection.get(state)
                others = [self._connection.get(digest) for digest in digests]
            except LostError:
                self._bury("between two steps")
                continue
            except IsoconvError as error:
                self._roster.drop(members[0], f"cannot hand over its weights: {error}", error)
                continue
            if others:
                own = state_digest(found)
                for member, digest in zip(members[1:], others, strict=True):
                    if digest != own:
                        raise TrainingError(
                            f"all workers must hold the same weights; {member.name} holds others "
                            f"than {members[0].name}, and one of them is wrong; {_go_on()}"
                        )
            self._state = self._version, found
        return True

    # Who takes part -----------------------------------------------------------------------------

    def _tell(self, members: Sequence[Member], name: str, *arguments: Any) -> None:
        """The same call to several at a time; whoever has died takes part no longer.

        Whoever lives and did not get what it was to be given, stands where it did.
        """
        calls = [(each, getattr(each.actor, name).remote(*arguments)) for each in members]
        for member, call in calls:
            try:
                self._connection.get(call)
            except LostError as error:
                if error.own:
                    self._roster.drop(member, f"died between two steps: {error}")
            except IsoconvError as error:
                self._roster.drop(member, f"cannot go on: {error}", error)

    def _admit(self, member: Member) -> None:
        """The weights of the moment and the epoch, for one who has just proved to be right.

        Raises:
            LostError: nobody is left who has these weights, or this one has died.
        """
        if self._state[0] == self._version:
            state = self._connection.put(self._state[1])
        elif self._roster.ready:
            state = self._roster.ready[0].actor.state.remote()
        else:
            raise LostError("nobody has the weights of the moment")
        self._connection.get(member.actor.load.remote(self._version, state))
        self._connection.get(member.actor.begin_epoch.remote(*self._begun))
        if self._tally.steps:
            self._say(f"{member.name} has joined")

    def _bury(self, where: str) -> dict[Member, tuple[int, Array | None]]:
        """Ask all where they stand; those who do not answer have died."""
        found = {}
        for member, answer in [(each, each.actor.stands.remote()) for each in self._roster.ready]:
            try:
                found[member] = self._connection.get(answer)
            except LostError as error:
                self._roster.drop(member, f"died in {where}: {error}")
        # One who answered may have been given up while others were waited for.
        return {member: each for member, each in found.items() if not member.ended}

    # Epochs and steps ---------------------------------------------------------------------------

    def begin_epoch(
        self, epoch: int, order: Array, tables: Mapping[str, Array] | None = None
    ) -> None:
        """The order of samples and what changes from epoch to epoch, for all.

        Before the first one all workers show what they find for a shard.
        """
        with self._lock:
            self._epoch = epoch, order, dict(tables or {})
            digest = storage.digest({"": order, **self._epoch[2]})
            put, names = self._connection.put, tuple(self._epoch[2])
            self._begun = (epoch, digest, names), put(order), *map(put, self._epoch[2].values())
            if self._roster.proof is not None:
                self._tell(self._roster.ready, "begin_epoch", *self._begun)
                return
            parameters, states, _ = self._now()
            own = self._own_sums(self._now(), 0, range(1))
            first = put((parameters, states)), *self._begun
            self._roster.proof = Proof(first, flat_digest(own))
            if not self._auditor.share:
                self._own.close()
            self._roster.gather("ready", self._patience)
            ready = self._roster.ready
            self._news.append(
                f"{len(ready)} {'worker runs' if len(ready) == 1 else 'workers run'} the steps: "
                f"{listed([member.name for member in ready])}"
            )

    def _own_sums(self, state: State, step: int, shards: range) -> list[Array]:
        """What the driver's own engine finds."""
        if self._epoch is None:
            raise TrainingError("an epoch must have begun before its steps")
        parameters, states, _ = state
        self._own.load(parameters, states)
        self._own.begin_epoch(*self._epoch)
        return list(self._own.sums(step, shards).values())

    def steps(self, first: int, hyper: Array) -> Array:
        """Step by step, whoever dies or joins."""
        with self._lock:
            rows: list[Array] = []
            begin = self._version
            while True:
                self._roster.look()
                self._roster.advance()
                done = len(rows) == len(hyper) or (bool(rows) and not np.isfinite(rows[-1][0]))
                alone = len({member.node.id for member in self._roster.ready}) == 1
                if alone and (done or self._state[0] < begin):
                    # A node that dies takes its weights along, if no other one has them.
                    self._copied()
                if not self._roster.ready:
                    self._revive(begin)
                    del rows[self._version - begin :]
                elif done:
                    return np.stack(rows)
                elif (row := self._step(first + len(rows), hyper[len(rows)])) is not None:
                    rows.append(row)

    def _revive(self, begin: int) -> None:
        """Go back to the driver's copy of the weights, with workers who are new.

        Raises:
            TrainingError: there are none, or the copy is older than the first of these steps.
        """
        if self._state[0] < begin:
            raise self._all_gone()
        self._version = self._state[0]
        self._person("nobody is left; the training waits for workers")
        try:
            self._gather("ready")
        except IsoconvError as error:
            raise TrainingError(
                f"all workers have died, and no other one can take their place: {error}; {_go_on()}"
            ) from error

    def _step(self, number: int, hyper: Array) -> Array | None:
        """One step, to its metrics; None where nobody is left to run it."""
        images = min(self._batch_size, self._samples - number * self._batch_size)
        shards = -(-images // self._shard_size)
        step = SharedStep(self._connection, number, shards, self._size, self._tally)
        where = f"step {number + 1} of epoch {self._epoch[0] + 1 if self._epoch else 0}"
        row: Array | None = None
        lost = 0
        self._torn = True
        while row is None:
            members = self._roster.ready
            if not members:
                return None
            try:
                step.hand_out(members)
                if self._auditor.share:
                    self._leave(step.late(self._patience), where)
                    if not self._auditor.runs(step, where):
                        continue
                step.add()
                if not self._auditor.sums(step, where):
                    continue
                step.update(members, self._version + 1, hyper)
                self._leave(step.late(self._patience), where)
                row = step.row()
            except IsoconvError:
                failed = step.failed()
                if not failed:
                    raise
                for member, why in failed:
                    self._roster.drop(member, f"cannot go on in {where}: {why}", why)
                row = self._settled(step, where)
            except LostError as error:
                row = self._settled(step, where)
                lost += len(self._roster.ready) == len(members)
                if lost == _TRIES:
                    raise TrainingError(f"{where} is lost again and again: {error}") from None
        if np.isfinite(row[0]):
            self._version += 1
        self._torn = False
        step.done()
        return row

    def _settled(self, step: SharedStep, where: str) -> Array | None:
        """What a step has come to that was broken off: its metrics, or None to go on with it."""
        row = self._level(where)
        if row is None:
            self._auditor.forget(step, where)
        return row

    def _leave(self, late: Sequence[Member], where: str) -> None:
        """Wait no longer for those who give no answer.

        Raises:
            LostError: there are such.
        """
        for member in late:
            self._roster.drop(member, f"gives no answer in {where}")
        if late:
            raise LostError("no answer")

    def _level(self, where: str) -> Array | None:
        """After a death: have all stand where the first does who made the update of a step.

        Returns:
            The step's metrics; None where nobody has made the update.
        """
        while stands := self._bury(where):
            done = [each for each, (version, _) in stands.items() if version > self._version]
            if not done:
                break
            version, row = stands[done[0]]
            behind = [member for member in stands if member not in done]
            if not behind:
                return row
            self._tell(behind, "load", version, done[0].actor.state.remote(), row)
        return None

    # What there is to tell ----------------------------------------------------------------------

    def news(self) -> list[str]:
        """What has happened since this was asked last."""
        with self._lock:
            found = [*self._news]
            self._news.clear()
            return found

    def facts(self) -> dict[str, Any]:
        """Who took part, what died, what was run again, what was moved."""
        tally = self._tally
        return {
            "kind": "Ray cluster",
            "address": self._address,
            "workers": self._roster.plain(),
            "aside": self._roster.aside,
            "steps": tally.steps,
            "bytes_per_step": tally.moved // max(tally.steps, 1),
            "bytes_per_step_most": tally.most,
            "shards_run_again": tally.again,
            "audited": self._auditor.done,
        }

    def close(self) -> None:
        """End all workers, and leave the cluster."""
        self._open.close()


def _go_on() -> str:
    """How to go on where the weights are lost."""
    goes = either("Trainer.resume goes", "isoconv resume goes")
    return f"{goes} on from the last checkpoint, if one was saved by then"


def _copies(arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {name: np.array(array) for name, array in arrays.items()}
