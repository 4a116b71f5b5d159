"""Models for tests."""

from llmbook.lm.protocol import Reply


class Recorder:
    """A model that answers by a function, and keeps what it was asked."""

    name = "recorder"

    def __init__(self, answer):
        self.answer, self.calls = answer, []

    def complete(self, prompts, **options):
        self.calls.append((list(prompts), options))
        replies = [self.answer(prompt) for prompt in prompts]
        return [one if isinstance(one, Reply) else Reply(one, "stop", 1, 1) for one in replies]
