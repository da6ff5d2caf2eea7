"""What is measured of a server, a function each; they return plain values for the table."""

import subprocess
import threading
import time

from wire import RST, Client, Ended, Silent

# Connections that are left idle.
IDLE_CONNECTIONS = 5
UPLOAD_BYTES = 8 << 20
PIECE = b"x" * (64 << 10)
# An answer that is there so long before the body's end was given without it.
EARLY_SECONDS = 1.0
# So many pieces are sent with a pause after each.
SLOW_PIECES = 16
MOST_HEAD_BYTES = 256 << 10
MOST_FIELDS = 1000
# After SIGTERM: when the others ask, and how long they wait.
ASKED_AFTER = 0.5
WAIT = 4
LARGE_READ_AFTER = 1.5
SLOW = "/slow"
# So long a stop is watched.
STOP_SECONDS = 40


def idle(port, most):
    """After what time idle connections are closed, and what was said of it."""
    with Client(port) as client:
        client.get()
        first = client.answer()
    if first.closes:
        return {"closes": True}
    ends = []

    def watch(index):
        # Some look for old ones once a second: each begins at another part of that.
        time.sleep(index / IDLE_CONNECTIONS)
        with Client(port) as client:
            client.get()
            client.answer()
            if end := client.end_within(most):
                ends.append(end)

    watchers = [threading.Thread(target=watch, args=(index,)) for index in range(IDLE_CONNECTIONS)]
    for watcher in watchers:
        watcher.start()
    for watcher in watchers:
        watcher.join()
    return {"closes": False, "announced": first.fields.get("keep-alive", ""), "most": most,
            "seconds": sorted(round(end[1], 2) for end in ends)}


def upload(port):
    """What becomes of a POST to a path that answers without reading."""
    head = f"Content-Length: {UPLOAD_BYTES}\r\nContent-Type: application/octet-stream\r\n"
    result = {"early_at": None, "status": None, "end": None, "kept": False}
    with Client(port) as client:
        client.get("/refuse", "POST", head)
        try:
            sent = send_until_answered(client)
            result["early_at"] = sent if client.data else None
            for _ in range((UPLOAD_BYTES - sent) // len(PIECE)):
                client.send(PIECE)
            result["status"] = client.answer().status
            end = client.end_within(1)
            result["end"] = end and end[0]
            if not end:
                client.get()
                result["kept"] = client.answer().status == 200
        except Ended as ended:
            result["end"] = ended.how
            result["status"] = result["status"] or rest(client)
        except (Silent, TimeoutError):
            result["end"] = "silent"
    result["lost"] = is_answer_lost(port, head)
    result["body_limit"] = {size: posted(port, size) for size in (2 << 20, 32 << 20)}
    return result


def send_until_answered(client):
    """Sends the body's beginning piece by piece, with time to answer after each."""
    for count in range(1, SLOW_PIECES + 1):
        client.send(PIECE)
        if client.more(EARLY_SECONDS if count == 1 else EARLY_SECONDS / 10):
            break
    return count * len(PIECE)


def rest(client):
    """The status of an answer that came before the end."""
    try:
        return client.answer(1).status
    except (Ended, Silent):
        return None


def is_answer_lost(port, head):
    """Whether who sends all before it listens gets no answer."""
    with Client(port) as client:
        client.get("/refuse", "POST", head)
        try:
            for _ in range(UPLOAD_BYTES // len(PIECE)):
                client.send(PIECE)
        except (Ended, TimeoutError):
            pass
        try:
            client.answer()
            return False
        except (Ended, Silent):
            return True


def posted(port, size):
    """The status of a POST with a body of this size that the application reads."""
    with Client(port, 20) as client:
        try:
            client.get("/", "POST", f"Content-Length: {size}\r\nContent-Type: application/octet-stream\r\n")
            for _ in range(size // len(PIECE)):
                client.send(PIECE)
        except (Ended, TimeoutError):
            pass
        try:
            return client.answer(20).status
        except Ended as ended:
            return ended.how
        except Silent:
            return "silent"


def heads(port):
    """The largest head of one field, and the most fields, that are taken; and what else is answered."""
    def padded(size):
        return "X-P: " + "a" * (size - len("X-P: \r\n")) + "\r\n"

    def many(count):
        return "".join(f"x{index:x}:1\r\n" for index in range(count))

    return {"field_bytes": largest(port, padded, 1 << 10, MOST_HEAD_BYTES),
            "fields": largest(port, many, 10, MOST_FIELDS)}


def largest(port, fields_of, low, high):
    refused = asked(port, fields_of(high))
    if refused == 200:
        return high, None
    while high - low > 1:
        middle = (low + high) // 2
        status = asked(port, fields_of(middle))
        if status == 200:
            low = middle
        else:
            high, refused = middle, status
    return low, refused


def asked(port, fields):
    try:
        with Client(port) as client:
            client.get(fields=fields)
            return client.answer(3).status
    except Ended as ended:
        return ended.how
    except (Silent, TimeoutError):
        return "silent"
    except ValueError:
        return "not HTTP"


def stop(child, port, slow):
    """What SIGTERM does to idle connections, to new ones, and to a request in flight: one that takes 2 s, or a large
    answer that is read only then."""
    watched, used, busy = Client(port), Client(port), Client(port)
    for client in watched, used:
        client.get()
        closes = client.answer().closes
        if closes:
            # Or a server that serves one connection at a time waits for our end of it.
            client.socket.close()
    busy.get(slow)
    time.sleep(0.5)
    begun, result = time.monotonic(), {"keeps": not closes}

    def note(name, do):
        def run():
            try:
                result[name] = do()
            except Ended as ended:
                result[name] = ended.how
            except Silent:
                result[name] = "silent"
            except ConnectionRefusedError:
                result[name] = "refused"
            except OSError as error:
                result[name] = RST if isinstance(error, ConnectionResetError) else str(error)
        return threading.Thread(target=run)

    def on_kept():
        time.sleep(ASKED_AFTER)
        used.get()
        answer = used.answer(WAIT)
        return f"{answer.status}{', close' if answer.closes else ''}"

    def on_new():
        time.sleep(ASKED_AFTER)
        with Client(port) as client:
            client.get()
            return client.answer(WAIT).status

    def on_busy():
        time.sleep(0 if slow == SLOW else LARGE_READ_AFTER)
        return busy.answer(STOP_SECONDS).status

    def end_of_idle():
        end = watched.end_within(STOP_SECONDS)
        return end and (end[0], round(end[1], 1))

    child.process.terminate()
    threads = [note("on new", on_new), note("in flight", on_busy)]
    if not closes:
        threads += [note("idle", end_of_idle), note("on kept", on_kept)]
    for thread in threads:
        thread.start()
    try:
        child.process.wait(STOP_SECONDS)
        result["ended after"] = round(time.monotonic() - begun, 1)
    except subprocess.TimeoutExpired:
        result["ended after"] = None
    for thread in threads:
        thread.join()
    for client in watched, used, busy:
        client.socket.close()
    return result
