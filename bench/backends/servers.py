"""A server that runs for as long as it is measured."""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import stacks
from processes import Child, Failure, free_port
from wire import Client, Ended, Silent, serves

# Until a server answers its first request; a JVM on a busy machine takes its time.
START_SECONDS = 40


class Server:
    """One that runs and answers, in a folder of its own."""

    def __init__(self, stack, **more):
        self.stack, self.more = stack, more
        self.folder = Path(tempfile.mkdtemp(prefix="lb-backend-"))

    def __enter__(self):
        try:
            place = stacks.Place(self.folder, free_port(), **self.more)
            argv, env = self.stack.start(place)
            self.port = place.port
            try:
                # Some keep files at home, and several of them run at once.
                self.child = Child("server", argv, self.folder, {"HOME": str(self.folder), **env})
            except OSError as error:
                raise Failure(f"it is not installed ({error})") from None
            self.wait_until_it_serves()
        except BaseException:
            self.__exit__()
            raise
        return self

    def wait_until_it_serves(self):
        deadline = time.monotonic() + START_SECONDS
        while not serves(self.port):
            self.child.check()
            if time.monotonic() > deadline:
                raise Failure(f"it does not serve: {self.child.last_words()}")
            time.sleep(0.1)

    def __exit__(self, *_):
        if hasattr(self, "child"):
            self.child.__exit__()
        shutil.rmtree(self.folder, ignore_errors=True)


def say(text):
    print(text, file=sys.stderr, flush=True)


class Balancer:
    """The balancer in front of a server, with this configuration and its listener beside."""

    def __init__(self, program, server, config, path="/"):
        self.program, self.server, self.config, self.path = program, server, config, path

    def __enter__(self):
        self.port = free_port()
        file = self.server.folder / "lb.json"
        file.write_text(json.dumps({"listen": f"127.0.0.1:{self.port}", "access_log": False, **self.config}))
        self.child = Child("balancer", [self.program, "--config", str(file)], self.server.folder)
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            try:
                self.child.check()
                if time.monotonic() > deadline:
                    raise Failure("the balancer does not serve")
            except Failure:
                self.child.__exit__()
                raise
            time.sleep(0.1)
        return self

    def answers(self):
        try:
            with Client(self.port) as client:
                client.get(self.path)
                return client.answer().status == 200
        except (OSError, Ended, Silent):
            return False

    def __exit__(self, *_):
        self.child.__exit__()


def version(program):
    return subprocess.run([program, "--version"], capture_output=True, text=True).stdout.strip()
