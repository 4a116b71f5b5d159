"""Many problems side by side: each asks in its own order, and a model reads them as one batch.

A strategy is written for one problem, as a generator that yields prompts and is sent the
replies. Here any number of such generators go forward together.
"""

import time
import zlib
from collections.abc import Callable, Generator, Iterable, Sequence
from itertools import islice
from typing import NamedTuple

from llmbook.lm.protocol import LanguageModel, Reply, in_chat


class Ask(NamedTuple):
    """A prompt, and how it is to be gone on with."""

    prompt: str
    max_new_tokens: int
    stop: tuple[str, ...]  # where a model that would go on and on is to end; not for a chat
    temperature: float = 0.0
    seed: int = 0
    question: str = ""  # what it asks; and what is taken from the text of a reply, None: nothing
    read: Callable[[str], str | None] = str.strip


class Answered(NamedTuple):
    """A reply, and its share of the time that its batch took."""

    reply: Reply
    seconds: float
    others: tuple[Reply, ...] = ()  # replies to the same prompt that were not taken


Dialogue = Generator[list[Ask], list[Answered], None]
Round = Generator[list[Ask], list[Answered], list[Answered]]


def side_by_side(
    dialogues: Iterable[Dialogue], on_end: Callable[[], object] = lambda: None
) -> Dialogue:
    """Several dialogues as one: each round holds the prompts of all that are under way."""
    # In the order of the dialogues, so the prompts of a round have the same order in every run.
    under_way: list[tuple[Dialogue, list[Ask]]] = []

    def advance(dialogue: Dialogue, answers: list[Answered] | None) -> None:
        """Let a dialogue go on to its next prompts, or end."""
        try:  # a generator that has not begun cannot be sent answers
            asks = next(dialogue) if answers is None else dialogue.send(answers)
        except StopIteration:
            on_end()
        else:
            under_way.append((dialogue, asks))

    for dialogue in dialogues:
        advance(dialogue, None)
    while under_way:
        # The answers come in one list, in the order of the prompts. Each dialogue takes as many as
        # it asked for, and the iterator remembers where the next one begins.
        answers = iter((yield [ask for _, asks in under_way for ask in asks]))
        # Those that don't end in this round put themselves down for the next.
        this_round, under_way = under_way, []
        for dialogue, asks in this_round:
            # A list at once: islice takes nothing by itself, and the dialogue may leave it unread.
            advance(dialogue, list(islice(answers, len(asks))))


def through(dialogue: Dialogue, put: Callable[[list[Ask]], Round]) -> Dialogue:
    """A dialogue whose prompts are put in another way than as they are.

    Args:
        dialogue: The dialogue.
        put: From the prompts of a round to their answers, by whatever prompts that takes.
    """
    try:
        asks = next(dialogue)
        while True:
            asks = dialogue.send((yield from put(asks)))
    except StopIteration:  # out of a generator, Python would turn it into a RuntimeError
        return


def seed_of(key: str, prompt: str) -> int:
    """A seed for a prompt, the same in every run, which Python's hash is not."""
    return zlib.crc32(f"{key} {prompt}".encode())


def sampled(dialogue: Dialogue, temperature: float, key: str) -> Dialogue:
    """A dialogue whose replies are drawn: what is drawn depends on the key and on the prompt."""

    def put(asks: list[Ask]) -> Round:
        # One seed for all prompts would draw the same numbers at each step of a dialogue. A prompt
        # that is drawn several times, as for a vote, has a seed of its own each time.
        keys = [f"{key} {ask.seed}" if ask.seed else key for ask in asks]
        return (
            yield [
                ask._replace(temperature=temperature, seed=seed_of(own_key, ask.prompt))
                for own_key, ask in zip(keys, asks, strict=True)
            ]
        )

    return through(dialogue, put)


def drive(dialogue: Dialogue, model: LanguageModel) -> None:
    """Lead a dialogue with a model: a call for each round."""
    answers = None
    while True:
        try:
            asks = next(dialogue) if answers is None else dialogue.send(answers)
        except StopIteration:
            return
        answers = _complete(model, asks)  # what the model raises must not look like an end


def _complete(model: LanguageModel, asks: Sequence[Ask]) -> list[Answered]:
    """One call; more only if prompts of one round are to be gone on with differently."""
    # Not by seed, as each prompt of a call has its own: samples of a problem remain one batch.
    kinds: dict[tuple[object, ...], list[int]] = {}
    for place, ask in enumerate(asks):
        kinds.setdefault((ask.max_new_tokens, ask.stop, ask.temperature), []).append(place)
    answers: dict[int, Answered] = {}
    for places in kinds.values():
        first = asks[places[0]]
        start = time.perf_counter()
        replies = model.complete(
            [asks[place].prompt for place in places],
            max_new_tokens=first.max_new_tokens,
            temperature=first.temperature,
            # A turn of a chat ends by itself, and a blank line or a question may stand within it.
            stop=() if in_chat(model) else first.stop,
            seed=[asks[place].seed for place in places],
        )
        # A batch is answered as a whole, so nobody knows what one prompt of it took. In equal
        # shares the seconds of all traces add up to those of the calls.
        share = (time.perf_counter() - start) / len(places)
        if len(replies) != len(places):
            raise ValueError(
                f"model must give one reply for each of {len(places)} prompts, "
                f"got {len(replies)} from {model.name}"
            )
        answers |= {
            place: Answered(reply, share) for place, reply in zip(places, replies, strict=True)
        }
    # The calls went by kind. Whoever shares out the answers counts on the order of the asks.
    return [answers[place] for place in range(len(asks))]
