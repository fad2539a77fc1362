"""The peer of the test matrix that does not use our SDK. Commands come as JSON lines on standard input, and answers go as
JSON lines to standard output. peers.ts lists the commands. foreign_client.py speaks to nodes and peers.
"""
import asyncio
import hashlib
import json
import os
import secrets
import sys
import time

import aiortc
from foreign_client import Channel, Node, note, now, trace

CHUNK_BYTES = 16 * 1024


class Peer:
    """Carries out the commands of the matrix."""

    def __init__(self):
        self.node = Node(self.on_signal)
        self.channel = None
        self.closed = {}
        self.opened = 0
        self.called = asyncio.Event()

    async def on_signal(self, message, signal):
        handshake = message["handshake"]
        if self.channel is not None and self.channel.handshake == handshake:
            await self.channel.receive(signal)
        elif signal["type"] == "offer":
            self.channel = Channel(self.node, message["from"], message["since"], handshake, self)
            self.called.set()
            await self.channel.answer(signal)

    def on_open(self):
        self.opened += 1

    def on_end(self, channel, reason):
        note(f"the channel ended: {reason}")
        self.closed = {"at": now(), "reason": reason}
        if self.channel is channel:
            self.last, self.channel = channel, None
            self.called.clear()

    async def connect(self, url, name):
        await self.node.connect(url, name)
        return {}

    async def call(self, to, deadlineMs):
        started = time.monotonic()
        since = await self.node.since_of(to)
        if since is None:
            raise Exception(f"nobody is {to}")
        channel = self.channel = Channel(self.node, to, since, secrets.token_urlsafe(8), self)
        await channel.offer()
        await asyncio.wait_for(Channel.first(channel.opened, channel.ended), deadlineMs / 1000)
        if channel.ended.is_set():
            raise Exception(f"the channel did not open: {self.closed['reason']}")
        return {"ms": (time.monotonic() - started) * 1000}

    async def opened_by_other(self):
        await self.called.wait()
        await self.channel.opened.wait()
        return {}

    async def send(self, bytes):
        data = os.urandom(bytes)
        started, most = now(), 0
        for at in range(0, bytes, CHUNK_BYTES):
            await self.channel.send(data[at : at + CHUNK_BYTES])
            most = max(most, self.channel.data.bufferedAmount)
        return {"sha256": hashlib.sha256(data).hexdigest(), "startedAt": started, "mostBuffered": most}

    async def receive(self, bytes):
        channel = self.channel or self.last
        await channel.until_received(bytes)
        at, data = now(), b"".join(channel.received)
        channel.received, channel.received_bytes = [], 0
        return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), "at": at}

    async def close(self):
        at = now()
        await self.channel.close()
        return {"at": at, "ms": now() - at}

    async def hang_up(self):
        at = now()
        await self.channel.end("closed here")
        return {"at": at, "ms": now() - at}

    async def until_closed(self):
        if self.channel is not None:
            await self.channel.ended.wait()
        return self.closed

    async def state(self):
        channel = self.channel
        if channel is None:
            return {"opened": self.opened, "states": ["no channel"], "trace": trace}
        connection, data = channel.connection, channel.data
        states = [
            f"connection {connection.connectionState}, ICE {connection.iceConnectionState}, "
            f"signaling {connection.signalingState}; stream 0 {channel.frames.readyState}; stream 1 "
            f"{data.readyState}, {data.bufferedAmount} bytes wait; {channel.received_bytes} bytes received"
        ]
        return {"opened": self.opened, "states": states, "trace": trace}

    async def leave(self):
        if self.channel is not None:
            await self.channel.end("this peer left")
        await self.node.socket.emit("leave", {})
        await self.node.socket.disconnect()
        return {}


def say(line):
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def main():
    peer = Peer()
    commands = {name: getattr(peer, name) for name in ("connect", "call", "send", "receive", "close", "state", "leave")}
    commands.update(opened=peer.opened_by_other, closed=peer.until_closed, hangUp=peer.hang_up)

    async def handle(id, do, **options):
        try:
            say({"id": id, "result": await commands[do](**options)})
        except Exception as error:
            say({"id": id, "error": repr(error)})

    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    say({"ready": True, "version": aiortc.__version__})
    tasks = set()
    while line := await lines.readline():
        task = asyncio.create_task(handle(**json.loads(line)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


asyncio.run(main())
