"""How much faster a server answers when it is asked many prompts at a time instead of one.

The server, on this machine and in a process of its own, takes a fixed time for each answer, however
many it is asked at once: what is measured is whether our side keeps its places filled. Both sides
put the same prompts and must get the same replies; they take turns. With n places no more than n
times the speed is possible.

    python benchmarks/endpoint.py --runs 3
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import statistics
import time
from multiprocessing.connection import Connection

from llmbook.lm import EndpointModel


async def serve(latency: float, say: Connection) -> None:
    """Answer each request with its prompt, after a while; tell the port first."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):  # connections are kept
                lines = head.decode().lower().splitlines()
                length = next(line for line in lines if line.startswith("content-length:"))
                body = json.loads(await reader.readexactly(int(length.split(":")[1])))
                await asyncio.sleep(latency)
                choice = {"text": body["prompt"].upper(), "finish_reason": "stop"}
                data = json.dumps({"choices": [choice]}).encode()
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                    + f"Content-Length: {len(data)}\r\n\r\n".encode()
                    + data
                )
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()  # the client has gone

    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=256)
    say.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def run_server(latency: float, say: Connection) -> None:
    asyncio.run(serve(latency, say))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3, help="runs of each side (default 3)")
    parser.add_argument("--prompts", type=int, default=80, help="prompts of a run (default 80)")
    parser.add_argument("--latency", type=float, default=0.2, help="seconds (default 0.2)")
    arguments = parser.parse_args()
    for name in ("runs", "prompts"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name} must be at least 1, got {getattr(arguments, name)}")

    hear, say = multiprocessing.Pipe(duplex=False)
    server = multiprocessing.get_context("spawn").Process(
        target=run_server, args=(arguments.latency, say), daemon=True
    )
    server.start()
    url = f"http://127.0.0.1:{hear.recv()}/v1"
    prompts = [f"problem {i}" for i in range(arguments.prompts)]
    taken: dict[int, list[float]] = {1: [], 16: []}
    try:
        EndpointModel("m", url, chat=False).complete(prompts[:1])  # loads what is loaded once
        for _ in range(arguments.runs):
            for places, seconds in taken.items():
                model = EndpointModel("m", url, chat=False, concurrency=places)
                start = time.perf_counter()
                replies = model.complete(prompts)
                seconds.append(time.perf_counter() - start)
                assert [reply.text for reply in replies] == [prompt.upper() for prompt in prompts]
    finally:
        server.terminate()
    base = statistics.median(taken[1])
    print(f"{'at a time':12}{'median s':>10}{'min':>9}{'max':>9}{'ratio':>8}")
    for places, seconds in taken.items():
        middle = statistics.median(seconds)
        print(
            f"{places:<12}{middle:10.2f}{min(seconds):9.2f}{max(seconds):9.2f}{base / middle:8.1f}"
        )
    print(
        f"ratio: median of one at a time / median, {arguments.runs} runs in turn; "
        f"{arguments.prompts} prompts, {arguments.latency:g} s each"
    )


if __name__ == "__main__":
    main()
