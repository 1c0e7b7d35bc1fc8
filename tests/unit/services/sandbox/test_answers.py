"""Answers on their way back: by themselves or together, none kept without need."""

import asyncio

from services.common.pb.sandbox.v1 import sandbox_pb2 as pb
from services.sandbox.answers import Answers


class Wire:
    """Notes the ids of each message; `room` lets one message through for each release."""

    def __init__(self) -> None:
        self.sent: list[list[int]] = []
        self.room = asyncio.Semaphore(1000)
        self.written = asyncio.Event()

    async def write(self, message: pb.RunManyResponse) -> None:
        """Note a message."""
        await self.room.acquire()
        assert not any(one.more for one in message.more)
        self.sent.append([message.id, *(one.id for one in message.more)])
        self.written.set()


def answer(number: int) -> pb.RunManyResponse:
    """An answer with an id."""
    return pb.RunManyResponse(id=number)


async def test_an_answer_goes_at_once_where_the_caller_does_not_gather() -> None:
    wire = Wire()
    answers = Answers(wire.write, lambda: True)
    for number in range(3):
        await answers.send(answer(number))
    assert wire.sent == [[0], [1], [2]]


async def test_an_answer_goes_at_once_where_nothing_else_is_to_do() -> None:
    wire = Wire()
    answers = Answers(wire.write, lambda: False)
    answers.gather(100)
    await answers.send(answer(1))
    assert wire.sent == [[1]]


async def test_answers_wait_while_the_workers_are_busy_until_there_are_enough() -> None:
    wire = Wire()
    answers = Answers(wire.write, lambda: True)
    answers.gather(100)
    for number in range(15):
        await answers.send(answer(number))
    assert wire.sent == []
    await answers.send(answer(15))
    assert wire.sent == [list(range(16))]


async def test_the_last_of_the_work_takes_along_what_waited() -> None:
    wire = Wire()
    busy = True
    answers = Answers(wire.write, lambda: busy)
    answers.gather(100)
    await answers.send(answer(1))
    await answers.send(answer(2))
    busy = False
    await answers.send(answer(3))
    assert wire.sent == [[1, 2, 3]]


async def test_an_answer_waits_no_longer_than_was_asked_for() -> None:
    wire = Wire()
    answers = Answers(wire.write, lambda: True)
    answers.gather(1)
    await answers.send(answer(1))
    async with asyncio.timeout(10):
        await wire.written.wait()
    assert wire.sent == [[1]]


async def test_what_comes_while_a_message_is_sent_goes_with_the_next() -> None:
    wire = Wire()
    wire.room = asyncio.Semaphore(0)
    answers = Answers(wire.write, lambda: False)
    answers.gather(100)
    sending = [asyncio.create_task(answers.send(answer(number))) for number in range(5)]
    await asyncio.sleep(0)
    for _ in range(2):
        wire.room.release()
    async with asyncio.timeout(10):
        await asyncio.gather(*sending)
    assert [number for message in wire.sent for number in message] == [0, 1, 2, 3, 4]
    assert len(wire.sent) == 2


async def test_nothing_is_sent_after_the_end_of_the_call() -> None:
    wire = Wire()
    answers = Answers(wire.write, lambda: True)
    answers.gather(1)
    await answers.send(answer(1))
    answers.close()
    await answers.flush()
    assert wire.sent == []
