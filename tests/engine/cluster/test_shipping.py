"""Outcomes come from a worker ready to be written; those that come too late are left out."""

from harness.checkpoints import answer, failure, requests, sharing
from harness.clusters import Recorder
from harness.runs import requests as rows_of_a_run

from batchrun.checkpoint.packing import Dictionary, Unpacker
from batchrun.engine.cluster.leases import Leases
from batchrun.engine.cluster.messages import NOTHING_SHIPPED, Terms
from batchrun.engine.cluster.post import Post
from batchrun.engine.cluster.shipping import Inbox, Outbox
from batchrun.records import Outcome, Request

BODY = b'{"choices": [{"message": {"content": "positive, as far as the tea is concerned"}}]}'


class Driver:
    """The driver's side, with one worker."""

    def __init__(self, rows: list[Request]) -> None:
        self.found: list[Outcome] = []
        self.recorder = Recorder(self.found.append)
        self.leases = Leases(self.recorder.model_id)
        self.inbox = Inbox(self.leases, self.recorder, self.found.append)
        self.leases.join(0)
        self.leases.extend(rows)
        self.leases.take(0, len(rows), 1 << 20)
        self.post = Post(None, 0.0, {}, None)  # type: ignore[arg-type]  # is not called


def test_outcomes_arrive_as_they_were() -> None:
    """Those that share a reply too, which only the writer can store."""
    asked = [*requests("a", "b", model="m"), *requests("c", "d", "e", model="n", first=2)]
    outcomes = [answer(asked[0]), failure(asked[1])._replace(endpoint="east"), *sharing(asked[2:])]
    driver, outbox = Driver(asked), Outbox()
    outbox.agree(driver.inbox.terms(driver.post))
    for each in outcomes:
        outbox.add(each)
    assert driver.inbox.take(0, outbox.ship()) == 5
    assert driver.found == outcomes
    assert driver.leases.leased == 0
    assert (len(outbox), outbox.unshipped) == (0, 5)  # until the next exchange shows that they have arrived
    assert outbox.ship() == NOTHING_SHIPPED
    assert outbox.unshipped == 0


def test_an_outcome_that_comes_too_late_is_dropped_and_the_others_count() -> None:
    """Its row was settled already, or another worker has it."""
    asked = requests(*"abcd")
    shared = sharing(requests("e", "f", first=4))
    driver, outbox = Driver([*asked, *requests("e", first=4)]), Outbox()
    outbox.agree(driver.inbox.terms(driver.post))
    driver.leases.settle(0, [driver.leases.id_of(asked[2])])
    for each in [*map(answer, asked), *shared]:
        outbox.add(each)
    assert driver.inbox.take(0, outbox.ship()) == 4
    assert [each.row for each in driver.found] == [0, 1, 3, 4]
    assert driver.leases.dropped == 2
    for each in map(answer, asked):
        outbox.add(each)
    assert driver.inbox.take(0, outbox.ship()) == 0
    assert len(driver.found) == 4


def test_a_worker_learns_once_how_models_are_numbered_and_answers_are_packed() -> None:
    """It gets a dictionary when the checkpoint has it."""
    driver = Driver(requests("a"))
    assert driver.inbox.terms(driver.post) == Terms({"m": 0})
    assert driver.inbox.terms(driver.post) == Terms()
    dictionary = Dictionary(1, BODY)
    driver.recorder.packer.use(dictionary)
    driver.leases.extend(requests("b", model="n", first=1))
    assert driver.inbox.terms(driver.post) == Terms({"n": 1}, dictionary)
    assert driver.inbox.terms(driver.post) == Terms()


def test_a_worker_packs_with_the_dictionary_that_it_got() -> None:
    """The driver passes on what it gets."""
    asked = requests("a")
    driver, outbox = Driver(asked), Outbox()
    driver.recorder.packer.use(Dictionary(7, BODY))
    outbox.agree(driver.inbox.terms(driver.post))
    outbox.add(answer(asked[0], body=BODY + b"!"))
    driver.inbox.take(0, outbox.ship())
    [found] = driver.found
    assert found.body is not None
    assert len(found.body) < 30
    assert Unpacker({7: BODY}).unpack(found.body, 7) == BODY + b"!"


def test_a_worker_has_no_room_while_too_much_waits(monkeypatch) -> None:
    """By outcomes, and by bytes."""
    outbox = Outbox()
    monkeypatch.setattr("batchrun.engine.cluster.shipping._MOST", 2)
    first, second = map(answer, requests("a", "b"))
    outbox.add(first)
    assert outbox.has_room
    outbox.add(second)
    assert not outbox.has_room
    monkeypatch.setattr("batchrun.engine.cluster.shipping._MOST", 100)
    monkeypatch.setattr("batchrun.engine.cluster.shipping._MOST_BYTES", 10)
    assert not outbox.has_room


def test_a_worker_that_was_just_given_rows_is_not_short_of_them() -> None:
    """Its last word does not know of them: it was woken for them again and again."""
    post = Driver(rows_of_a_run(1)).post
    assert post.is_short
    post.is_given = True
    assert not post.is_short
