"""Clients of one address, each counted by what became of it:

  fresh  a connection a request, 100 a second
  kept   16 connections that ask in turn, 100 requests a second, as a pool of connections does: one that was closed
         while it was idle, or whose answer said `Connection: close`, is opened anew without an error; none repeats
  slow   a connection a request, 4 a second, of a backend that takes 1.5 s
  big    as slow, 2 a second, with an answer of 200 kB
"""

import asyncio
import collections
import time

WORDS = {104: "reset", 111: "refused", 113: "no route"}
PATIENCE = 8.0


class Client:
    def __init__(self, address, port, seconds):
        self.address, self.port, self.seconds = address, port, seconds
        self.began = 0.0
        self.results = collections.defaultdict(list)

    def run(self):
        asyncio.run(self.all())
        return {kind: Summary(kind, results) for kind, results in self.results.items()}

    async def all(self):
        self.began = time.monotonic()
        kept = [self.keep_asking(i * 0.01) for i in range(16)]
        slow = [self.every(0.25, "slow", "/slow"), self.every(0.5, "big", "/slow/big")]
        await asyncio.gather(self.every(0.01, "fresh", "/"), *slow, *kept)

    def is_over(self):
        return time.monotonic() - self.began > self.seconds

    async def every(self, pause, kind, path):
        asked = set()
        number = 0
        while not self.is_over():
            while number * pause <= time.monotonic() - self.began:
                asked.add(asyncio.create_task(self.ask_once(kind, path)))
                number += 1
            await asyncio.sleep(pause)
        await asyncio.wait(asked)

    async def ask_once(self, kind, path):
        connection = Connection(self.address, self.port)
        await self.counted(kind, connection.ask(path, last=True))
        connection.close()

    async def keep_asking(self, first):
        await asyncio.sleep(first)
        connection = Connection(self.address, self.port)
        while not self.is_over():
            begin = time.monotonic()
            if await self.counted("kept", connection.ask("/")) != 200:
                connection.close()
            await asyncio.sleep(max(0.0, begin + 0.16 - time.monotonic()))
        connection.close()

    async def counted(self, kind, asking):
        begin = time.monotonic()
        try:
            result = await asyncio.wait_for(asking, PATIENCE)
        except asyncio.TimeoutError:
            result = "no answer"
        except asyncio.IncompleteReadError:
            result = "cut"
        except OSError as error:
            result = WORDS.get(error.errno, str(error))
        self.results[kind].append((begin - self.began, time.monotonic() - begin, result))
        return result


class Connection:
    def __init__(self, address, port):
        self.address, self.port = address, port
        self.reader = self.writer = None

    async def ask(self, path, last=False):
        """The answer's status, as soon as all of it is here."""
        if self.writer is None or self.reader.at_eof():
            self.close()
            self.reader, self.writer = await asyncio.open_connection(self.address, self.port)
        end = "Connection: close\r\n" if last else ""
        self.writer.write(f"GET {path} HTTP/1.1\r\nHost: lab\r\n{end}\r\n".encode())
        answer = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
        fields = dict(line.split(": ", 1) for line in answer.split("\r\n")[1:] if line)
        await self.reader.readexactly(int(fields["content-length"]))
        if fields.get("connection") == "close":
            self.close()
        return int(answer.split(" ")[1])

    def close(self):
        if self.writer:
            self.writer.close()
        self.reader = self.writer = None


class Summary:
    """What became of one kind of requests. `hurt` is from the first to the last that failed or took over a second longer
    than it should."""

    def __init__(self, kind, results):
        self.sent = len(results)
        usual = 1.5 if kind in ("slow", "big") else 0.0
        failed = [result for result in results if result[2] != 200]
        late = [result for result in results if result[2] == 200 and result[1] > usual + 1.0]
        self.failed = collections.Counter(str(result[2]) for result in failed)
        self.late = len(late)
        begins = sorted(begin for begin, _, _ in failed + late)
        self.hurt = begins[-1] - begins[0] if begins else 0.0

    def lost(self):
        """Those without any answer, not even a 503."""
        return sum(count for word, count in self.failed.items() if not word.isdigit())

    def __str__(self):
        failed = ", ".join(f"{count} {word}" for word, count in self.failed.most_common())
        return f"{self.sent} sent, failed: {failed or 0}, late: {self.late}, over {self.hurt:.1f} s"
