"""A server far away fails in many ways: none of a thousand problems may be lost by that."""

import asyncio
import re
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from llmbook.evaluation import evaluate
from llmbook.lm import EndpointModel, Reply
from llmbook.prompting import Trace, ZeroShot
from llmbook.tasks.problem import Problem
from tests.support.server import Sent, chatting, serving

BUSY = (429, {"Retry-After": "0.01"}, "busy")
FAULTS = [(500, {}, "broken"), BUSY, "reset", "half", "cut", "none", "two", "stall"]
# Stalls are as real as the others but take the client's patience: here one in twenty.
SCHEDULE = [*(FAULTS[i % 7] for i in range(19)), "stall"]


def some_faults(prompt, attempt):
    """Every third problem fails once, every ninth twice, each in its own way."""
    number = int(prompt.split()[1])
    wrong = (number % 3 == 0) + (number % 9 == 0)
    return SCHEDULE[(number // 3 + attempt) % len(SCHEDULE)] if attempt <= wrong else None


PROBLEMS = [Problem(f"{i} + 1", str(i + 1)) for i in range(1000)]


def test_of_a_thousand_problems_none_is_lost(tmp_path):
    file = tmp_path / "t.jsonl"
    with serving(some_faults) as server:
        model = EndpointModel("m", server.url, chat=False, timeout=1.0, backoff=0.01)
        half = PROBLEMS[:500]  # as if the program had been stopped after these
        evaluate(ZeroShot(), model, half, transcript=file, batch_size=250)
        asked_by_then = Counter(server.seen)
        traces = evaluate(ZeroShot(), model, PROBLEMS, transcript=file, batch_size=250)
    assert [trace.answer for trace in traces] == [problem.answer for problem in PROBLEMS]
    assert not any(trace.issues for trace in traces)
    assert len(asked_by_then) == 500  # and of these, none again
    assert all(server.seen[prompt] == count for prompt, count in asked_by_then.items())
    assert len(server.answered) == 1000
    assert sum(server.seen.values()) >= 1000 + 334 + 112  # the faults did happen
    assert server.most <= 16


def test_as_many_requests_are_under_way_as_are_allowed():
    opened = threading.Event()

    def fault(prompt, attempt):
        if server.most >= 16:
            time.sleep(0.2)  # a seventeenth would have come by then
            opened.set()
        opened.wait(10)  # fewer wait in vain, and get their answer all the same

    with serving(fault) as server:
        replies = EndpointModel("m", server.url).complete([f"p{i}" for i in range(48)])
    assert [reply.text for reply in replies] == [f"P{i}" for i in range(48)]
    assert server.most == 16


def test_requests_say_what_was_asked_for():
    with serving() as server:
        for chat in (True, False):
            model = EndpointModel("m", server.url, chat=chat, options={"top_p": 0.5})
            [one, two] = model.complete(
                ["a", "b"],
                max_new_tokens=9,
                temperature=0.5,
                stop=["B"],
                seed=[3, 4],
                logprobs=True,
            )
            assert (one.text, one.finish_reason, one.prompt_tokens) == ("A", "stop", 7)
            assert two.text == "" and two.completion_tokens == 3  # "B" is where it stops
    for body in server.requests:
        prompt = body["messages"][0]["content"] if "messages" in body else body["prompt"]
        assert body["seed"] == {"a": 3, "b": 4}[prompt]
        assert (body["model"], body["max_tokens"], body["stop"]) == ("m", 9, ["B"])
        assert (body["temperature"], body["top_p"]) == (0.5, 0.5)
        assert body["logprobs"] == (True if "messages" in body else 1)


@pytest.mark.parametrize("chat", [True, False])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_does_not_end_becomes_a_reply(fault, chat):
    with serving(lambda prompt, attempt: fault if prompt == "bad" else None) as server:
        patience = 0.5 if fault == "stall" else 60
        model = EndpointModel(
            "m", server.url, chat=chat, timeout=patience, backoff=0.01, max_retries=2
        )
        good, bad, other = model.complete(["good", "bad", "other"])
    assert (bad.text, bad.finish_reason) == ("", "error") and bad.error
    assert server.seen["bad"] == 3
    assert (good.text, other.text) == ("GOOD", "OTHER")


@pytest.mark.parametrize(
    ("status", "message", "named"),
    [
        (400, "temperature is not for you", "request"),
        (401, "who are you?", "api_key"),
        (404, "no such model", "model or base_url"),
        (429, "insufficient_quota", "api_key"),
    ],
)
def test_what_cannot_get_better_is_an_error_at_once(status, message, named):
    named = f"{named} must be one that the server accepts, got .*{status}.*{re.escape(message)}"
    refused = pytest.raises(ValueError, match=named)
    with serving(lambda prompt, attempt: (status, {}, message)) as server, refused:
        EndpointModel("m", server.url).complete(["a"])
    assert server.seen["a"] == 1


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ((400, {}, "maximum context length is 10 tokens"), "400: .*context length"),
        ((400, {}, "prompt is too long: 210000 tokens > 200000 maximum"), "prompt is too long"),
        ((413, {}, "Input validation error: `inputs` tokens"), "413: .*`inputs` tokens"),
        ((422, {}, "The input token count (9) exceeds"), "input token count"),
        ((400, {}, "in words not known here"), "400: .*in words not known here"),
        ("withheld", "content_filter"),
    ],
)
def test_what_is_refused_to_one_prompt_is_not_refused_to_all(fault, error):
    with serving(lambda prompt, attempt: fault if prompt == "bad" else None) as server:
        good, bad, other = EndpointModel("m", server.url).complete(["good", "bad", "other"])
    assert bad.finish_reason == "error" and re.search(error, bad.error)
    assert (good.text, other.text) == ("GOOD", "OTHER") and server.seen["bad"] == 1


def test_what_is_refused_to_all_is_an_error_after_one_attempt_each():
    with (
        serving(lambda prompt, attempt: (400, {}, "temperature is not for you")) as server,
        pytest.raises(ValueError, match="request must be one that the server accepts"),
    ):
        EndpointModel("m", server.url).complete(["a", "b"])
    assert server.seen == {"a": 1, "b": 1}


def test_a_request_is_wrong_if_those_not_too_long_are_all_refused():
    too_long = (400, {}, "prompt is too long")
    wrong = (400, {}, "temperature is not for you")
    with serving(lambda prompt, attempt: too_long if prompt == "long" else wrong) as server:
        model = EndpointModel("m", server.url)
        assert [reply.finish_reason for reply in model.complete(["long"])] == ["error"]
        with pytest.raises(ValueError, match=r"request must be .*temperature is not for you"):
            model.complete(["long", "a", "b"])


def test_each_reply_is_told_when_it_is_there():
    told = []

    def fault(prompt, attempt):
        if prompt == "last":
            deadline = time.monotonic() + 10
            while len(told) < 2 and time.monotonic() < deadline:
                time.sleep(0.01)

    with serving(fault) as server:
        model = EndpointModel("m", server.url)
        replies = model.complete_each(
            ["last", "a", "b"], lambda number, reply: told.append((number, reply))
        )
    assert {number for number, _ in told[:2]} == {1, 2} and told[2] == (0, replies[0])
    assert [reply for _, reply in sorted(told[:2])] == replies[1:]


def test_a_server_is_not_told_to_stop_a_chat_at_blank_lines():
    with serving() as server:
        for chat in (True, False):
            model = EndpointModel("m", server.url, chat=chat)
            [reply] = model.complete(["a\n\nb"], stop=["\n\n", "\nQ:"])
            assert (reply.text, reply.finish_reason) == ("A", "stop")
    assert [body["stop"] for body in server.requests] == [["\nQ:"], ["\n\n", "\nQ:"]]


@pytest.mark.parametrize("thought", ["", "<think>\nHm.\n\nWell.\n</think>"])
def test_the_blank_line_before_a_chats_answer_does_not_end_it(thought):
    with serving() as server:
        model = EndpointModel("m", server.url)
        prompt = f"{thought}\n\n14\n\nQ: next".swapcase()
        [reply] = model.complete([prompt], stop=["\n\n"])
    assert (reply.text, reply.finish_reason) == ("\n\n14", "stop")
    assert reply.thought == ("Hm.\n\nWell." if thought else "")


def test_a_notebook_where_a_loop_runs_already_may_ask_too():
    async def cell(url):
        return EndpointModel("m", url).complete(["a"])

    # In a thread of its own, as the browser tests leave a loop running in this one.
    with serving() as server, ThreadPoolExecutor(1) as thread:
        [reply] = thread.submit(lambda: asyncio.run(cell(server.url))).result()
    assert reply.text == "A"


def test_the_server_says_how_long_to_wait():
    moments = []

    def fault(prompt, attempt):
        moments.append(time.monotonic())
        return (429, {"Retry-After": "1"}, "") if attempt == 1 else None

    with serving(fault) as server:
        model = EndpointModel("m", server.url, backoff=0.0)
        assert model.complete(["a"])[0].text == "A"
    assert moments[1] - moments[0] >= 1.0  # no upper bound: the machine may be busy
    with serving(lambda prompt, attempt: (429, {"Retry-After": "2"}, "")) as server:
        [reply] = EndpointModel("m", server.url, longest_wait=1.0).complete(["a"])
    assert "asks to wait 2 seconds" in reply.error and server.seen["a"] == 1


def test_a_date_to_wait_for_is_understood():
    from email.utils import formatdate

    from llmbook.lm.answers import seconds_to_wait

    assert 50 < seconds_to_wait({"retry-after": formatdate(time.time() + 60, usegmt=True)}) <= 60
    assert seconds_to_wait({"retry-after": "soon"}) == 0.0 == seconds_to_wait({})


def test_where_nothing_has_ever_listened_is_found_out_at_once(caplog):
    with serving() as server:
        url = server.url
    start = time.monotonic()
    with pytest.raises(ValueError, match=f"base_url must be where a server answers, got {url}: no"):
        EndpointModel("m", url).complete(["a", "b"])
    assert time.monotonic() - start < 10  # and not the half minute that a busy one gets
    assert "asking again in" in caplog.text and caplog.text.count("\n") == 1


def test_a_server_that_was_there_may_come_back():
    with serving() as server:
        model = EndpointModel("m", server.url, backoff=0.0, max_retries=3)
        assert model.complete(["a"])[0].text == "A"
    [reply] = model.complete(["a"])
    assert reply.finish_reason == "error" and "no connection" in reply.error
    assert "attempts: 4" in reply.error


def test_whoever_waits_is_told_why(caplog):
    with serving(
        lambda prompt, attempt: (503, {}, "warming up") if attempt < 3 else None
    ) as server:
        EndpointModel("m", server.url, backoff=0.01).complete(["a", "b", "c"])
    assert "503: warming up; asking again in" in caplog.text
    assert caplog.text.count("\n") == 1  # not of every prompt


def test_a_proxy_does_not_come_between(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with serving() as server:
        assert EndpointModel("m", server.url, max_retries=0).complete(["a"])[0].text == "A"


@pytest.mark.parametrize("proxy", ["socks5://ann:secret@127.0.0.1:9", "gopher://ann:secret@host"])
def test_a_proxy_that_cannot_be_used_is_named(monkeypatch, proxy):
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(ValueError, match=r"^ALL_PROXY must be .*httpx2\[socks\].*unset") as error:
        EndpointModel("m", "http://far.example/v1").complete(["a"])
    assert "secret" not in str(error.value) and "\n" not in str(error.value)


KEY = "sk-a-key-of-some-length"


@pytest.mark.parametrize("key", [KEY, f"{KEY}\n", f" {KEY}\r\n"])
@pytest.mark.parametrize("environment", [True, False])
def test_a_key_is_sent_without_what_stands_around_it(monkeypatch, key, environment):
    if environment:
        monkeypatch.setenv("OPENAI_API_KEY", key)
    with serving() as server:
        EndpointModel("m", server.url, api_key=None if environment else key).complete(["a"])
    assert server.keys == {f"Bearer {KEY}"}


@pytest.mark.parametrize("key", [f"{KEY}\n{KEY}", f"{KEY}é", f"“{KEY}”", f"{KEY}\x7f"])
@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "api_key"])
def test_a_key_that_cannot_be_sent_is_an_error_at_once(monkeypatch, key, name):
    given = key if name == "api_key" else None
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(ValueError, match=f"^{name} must be of ASCII") as error:
        EndpointModel("m", "http://127.0.0.1:9/v1", api_key=given)
    assert KEY not in str(error.value)


@pytest.mark.parametrize("status", [401, 400, 200, 500, 429])
def test_no_secret_is_shown(tmp_path, caplog, status):
    """Not even where the server repeats it, nor the password in an address."""
    file, password = tmp_path / "t.jsonl", "open-sesame"
    answer = Sent({"error": {"message": f"Incorrect key {KEY} or {password}"}}, status)
    with serving(lambda prompt, attempt: answer if "1 + 1" in prompt else None) as server:
        url = server.url.replace("http://", f"http://ann:{password}@")
        model = EndpointModel("m", url, api_key=KEY, max_retries=1, backoff=0.01)
        told = ""
        try:
            traces = evaluate(ZeroShot(), model, PROBLEMS[:3], transcript=file)
            told += "".join(str(trace) + trace.to_json() for trace in traces)
        except ValueError as error:
            told += str(error)
    told += file.read_text() + caplog.text
    assert "Incorrect key … or …" in told
    assert KEY not in told and password not in told


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        (chatting("14"), "14"),
        (chatting(None), ""),
        (chatting([{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
                   {"type": "text", "text": "1"}, {"type": "text", "text": "4"}]), "14"),
        (chatting([]), ""),
        (chatting("14")._replace(kind="text/plain"), "14"),
        (chatting("half \ud83d of one"), "half \ufffd of one"),
        (chatting("\ude00, end \ud83d"), "\ufffd, end \ufffd"),
        (chatting("14", error=None), "14"),
        (chatting("14", usage=None), "14"),
        (chatting("14", usage=[7]), "14"),
        (chatting("14", choice={"logprobs": {"content": [{"token": "14"}]}}), "14"),
        (chatting("14", choice={"logprobs": {"content": [{"logprob": "-0.5"}]}}), "14"),
    ],
)  # fmt: skip
def test_texts_are_taken_from_answers_of_any_shape(tmp_path, sent, text):
    """And what is taken can be written down, read again, and be put into the next prompt."""
    with serving(lambda prompt, attempt: sent) as server:
        model, file = EndpointModel("m", server.url, max_retries=0), tmp_path / "t.jsonl"
        [reply] = model.complete(["a"])
        assert (reply.text, reply.finish_reason, reply.error) == (text, "end", "")
        [trace] = evaluate(ZeroShot(), model, PROBLEMS[:1], transcript=file)
        assert [trace] == evaluate(ZeroShot(), model, PROBLEMS[:1], transcript=file)
        assert Trace.from_json(trace.to_json()) == trace
        model.complete([reply.text])


THOUGHT = "<think>\nHm.\n</think>\n\n14"


@pytest.mark.parametrize(
    ("content", "fields", "thought", "text"),
    [
        ("14", {"reasoning_content": "\nHm.\n"}, "Hm.", "14"),  # llama.cpp, vLLM, DeepSeek
        ("\n\n14", {"reasoning": "Hm."}, "Hm.", "\n\n14"),  # vLLM since
        ("14", {"reasoning_content": "Hm.", "reasoning": "Hm."}, "Hm.", "14"),
        ("14", {"reasoning_content": None, "reasoning": "Hm."}, "Hm.", "14"),
        (None, {"reasoning_content": "Hm. Well"}, "Hm. Well", ""),  # cut before the answer
        (THOUGHT, {"reasoning_content": None}, "Hm.", "\n\n14"),
        (THOUGHT, {"reasoning_content": "Hm."}, "Hm.", "\n\n14"),  # the same in both places
        (THOUGHT, {"reasoning_content": "Ah."}, "Ah.\n\nHm.", "\n\n14"),
        ("Say </think>.", {"reasoning_content": "Hm."}, "Hm.", "Say </think>."),
        ("14", {"reasoning_content": "half \ud83d"}, "half \ufffd", "14"),
        ("14", {"reasoning": {"effort": "low"}}, "", "14"),
        ([{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
          {"type": "text", "text": "14"}], {}, "Hm.", "14"),  # Mistral
    ],
)  # fmt: skip
def test_a_thought_is_kept_wherever_the_server_puts_it(tmp_path, content, fields, thought, text):
    sent = chatting(content, choice={"message": {"content": content} | fields})
    with serving(lambda prompt, attempt: sent) as server:
        model, file = EndpointModel("m", server.url, max_retries=0), tmp_path / "t.jsonl"
        [reply] = model.complete(["a"], stop=["\n\n"])
        assert (reply.thought, reply.text, reply.error) == (thought, text, "")
        [trace] = evaluate(ZeroShot(), model, PROBLEMS[:1], transcript=file)
        assert trace.calls[0].reply.thought == thought
        assert [trace] == evaluate(ZeroShot(), model, PROBLEMS[:1], transcript=file)


@pytest.mark.parametrize(
    ("count", "taken"),
    [(12, 12), (12.0, 12), ("12", 12), ("12.0", 12), (None, 0), ("many", 0), ([], 0), (-1, 0)],
)
def test_counts_of_tokens_are_integers(count, taken):
    usage = {"prompt_tokens": count, "completion_tokens": count,
             "prompt_tokens_details": {"cached_tokens": count}}  # fmt: skip
    with serving(lambda prompt, attempt: chatting("14", usage=usage)) as server:
        [reply] = EndpointModel("m", server.url, max_retries=0).complete(["a"])
    assert reply == Reply("14", "end", taken, taken, taken)
    assert type(reply.prompt_tokens) is type(reply.reused_tokens) is int


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (chatting(None, "error"), "failed on the server's side"),
        (chatting("14 is", "error", choice={"error": {"code": 502, "message": "gone"}}), "gone"),
        (chatting(14), "a text expected"),
        (Sent({"choices": [None]}), "one choice expected"),
        (Sent([]), r"an object of JSON expected, got \[\]"),
        (Sent("", kind="text/plain"), "malformed answer"),
        (Sent({"error": {"code": 503, "message": "no more room"}}), "503: no more room"),
        (Sent({"error": {"code": "429", "message": "slowly"}}), "429: slowly"),
        (Sent({"error": "The model is overloaded"}), "200: The model is overloaded"),
        (Sent({"detail": "out of memory"}, 500), "500: out of memory"),
        (Sent("upstream gave up", 502, "text/plain"), "502: upstream gave up"),
        (Sent("<html><title>Bad\nGateway</title></html>", 502, "text/html"), "502: Bad Gateway"),
    ],
)
def test_what_may_pass_is_tried_again_and_told(sent, error):
    with serving(lambda prompt, attempt: sent if attempt < 3 else None) as server:
        model = EndpointModel("m", server.url, backoff=0.01)
        assert model.complete(["a"])[0].text == "A" and server.seen["a"] == 3
    with serving(lambda prompt, attempt: sent) as server:
        model = EndpointModel("m", server.url, backoff=0.01, max_retries=1)
        [reply] = model.complete(["a"])
    assert reply.finish_reason == "error" and re.search(error, reply.error)
    assert server.seen["a"] == 2


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (Sent({"error": "no such route: POST /chat"}), "model or base_url must .* no such route"),
        (Sent({"error": {"message": "no key", "code": 401}}), "^api_key must .* 401: no key"),
        (Sent({"error": {"message": "bad", "code": "bad_key"}}), "^api_key, model or .* 200: bad"),
        (Sent({"object": "error", "message": "no model m"}), "base_url must .* no model m"),
        (Sent("<html><title>Welcome</title>", kind="text/html"), "base_url .* no JSON but Welcome"),
        (Sent("data: {}\n\n", kind="text/event-stream"), "base_url must .* no JSON but data: {}"),
        (Sent({"detail": "who are you?"}, 401), "^api_key must .* 401: who are you"),
        (Sent({"detail": [{"loc": ["body"], "msg": "bad"}]}, 422), "^request must .* 422: .*bad"),
        (Sent("not here", 404, "text/plain"), "^model or base_url must .* 404: not here"),
        (Sent({"error": {"message": "Unsupported parameter: 'max_tokens'"}}, 400),
         r"^request must .*; a field is left out by options=\{'max_tokens': None\}"),
    ],
)  # fmt: skip
def test_what_cannot_pass_is_told_at_once(sent, error):
    refused = pytest.raises(ValueError, match=error)
    with serving(lambda prompt, attempt: sent) as server, refused:
        EndpointModel("m", server.url).complete(["a"])
    assert server.seen["a"] == 1


def test_fields_can_be_left_out_and_renamed():
    options = {"max_tokens": None, "stop": None, "temperature": None, "max_completion_tokens": 9}
    with serving() as server:
        model = EndpointModel("m", server.url, options=options)
        assert model.complete(["aBc"], stop=["b"])[0].text == "A"  # where it ends is still known
    [body] = server.requests
    assert body.keys() == {"model", "messages", "max_completion_tokens"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base_url": "example.org"}, "base_url must be an address"),
        ({"concurrency": 0}, "concurrency must be at least 1"),
        ({"timeout": 0}, "timeout must be positive"),
        ({"max_retries": -1}, "max_retries must be at least 0"),
    ],
)
def test_bad_input_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        EndpointModel("m", **({"base_url": "http://127.0.0.1:9/v1"} | options))
