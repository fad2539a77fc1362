"""A client without our SDK, as an example: it uses aiortc (WebRTC) and python-socketio from Debian to speak the native
wire (packages/protocol/SPEC.md) and to open channels (packages/client/SPEC.md).

To stay small, it does not resend after a loss, does not handle glare, and does not restart ICE.
"""
import asyncio
import itertools
import json
import secrets
import time

import aiortc
import socketio
from aiortc.sdp import candidate_from_sdp

# PP19: a sender waits above the first value, until the second one is reached.
FULL_BYTES, ROOM_BYTES = 1024 * 1024, 256 * 1024
# How long a closing channel waits for the other side's bye, and how long its connection stays open for our bye to arrive.
CLOSE_S, PARTING_S = 10, 0.5

# Events and their times, to explain failures.
trace = []


def now():
    return int(time.time() * 1000)


def note(text):
    trace.append([now(), text])


class Node:
    """The connection to a node. Signals are sent and received in order, and each is acknowledged (rules WD of packages/protocol/SPEC.md)."""

    def __init__(self, on_signal):
        self.socket = socketio.AsyncClient(reconnection=False)
        self.on_signal = on_signal
        self.arrived = asyncio.Queue()
        self.expected = {}  # incoming stream: its next seq
        self.outgoing = {}  # (name, since): the stream to this holder, its next seq, and its lowest unsettled seq
        self.ids, self.found = itertools.count(1), {}  # request ids, and the requests that wait for their answer

    async def connect(self, url, name):
        welcome = asyncio.get_running_loop().create_future()
        self.socket.on("welcome", welcome.set_result)
        self.socket.on("message", self.take)
        self.socket.on("found", lambda answer: self.found.pop(answer["id"]).set_result(answer["peers"]))
        self.socket.on("acked", self.settle)
        for trouble in ("notice", "error", "closing"):
            self.socket.on(trouble, lambda what, trouble=trouble: note(f"node: {trouble} {what}"))
        hello = {"v": 1, "name": name, "secret": secrets.token_urlsafe(32)}
        await self.socket.connect(url, auth=hello, transports=["websocket"], socketio_path="/peerage/")
        self.welcome = await welcome
        self.reading = asyncio.create_task(self.read())

    async def since_of(self, name):
        """Since when the name is held, or None. A later holder of the name is another peer."""
        id = next(self.ids)
        answer = self.found[id] = asyncio.get_running_loop().create_future()
        await self.socket.emit("lookup", {"id": id, "names": [name]})
        return (await answer)[0].get("since")

    async def send(self, to, since, handshake, signal):
        stream = self.outgoing.setdefault((to, since), {"id": secrets.token_urlsafe(8), "seq": 1, "base": 1})
        seq = stream["seq"]
        stream["seq"] += 1
        frame = {"to": to, "since": since, "stream": stream["id"], "seq": seq, "base": stream["base"]}
        await self.socket.emit("send", {**frame, "kind": "signal", "body": json.dumps(signal), "handshake": handshake})

    def settle(self, acked):
        for stream in self.outgoing.values():
            if stream["id"] == acked["stream"]:
                stream["base"] = max(stream["base"], acked["next"])

    def take(self, message):
        self.arrived.put_nowait(message)

    async def read(self):
        """Handles signals one after the other, so that no candidate overtakes its description."""
        while True:
            message = await self.arrived.get()
            if message["kind"] != "signal":
                continue
            stream, seq = message["stream"], message["seq"]
            expected = max(self.expected.get(stream, 1), message["base"])
            if seq == expected:
                expected = seq + 1
                try:
                    await self.on_signal(message, json.loads(message["body"]))
                except Exception as error:
                    note(f"signal refused: {error!r}")
                    end = {"type": "end", "reason": "ended"}
                    await self.send(message["from"], message["since"], message["handshake"], end)
            self.expected[stream] = expected
            ack = {"to": message["from"], "stream": stream, "next": expected}
            await self.socket.emit("ack", {"acks": [ack]})


class Channel:
    """One connection with its handshake and its two streams (packages/client/SPEC.md, "Streams")."""

    def __init__(self, node, to, since, handshake, owner):
        self.node, self.to, self.since, self.handshake, self.owner = node, to, since, handshake, owner
        server = node.welcome["p2p"]["server"]
        servers = [aiortc.RTCIceServer(urls=f"stun:{server}")] if server else []
        self.connection = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=servers))
        self.opened, self.ended = asyncio.Event(), asyncio.Event()
        self.changed = asyncio.Event()
        self.received, self.received_bytes, self.received_messages = [], 0, 0
        self.sent, self.expected, self.said_bye = 0, None, False
        self.connection.on("connectionstatechange", self.on_state)
        self.connection.on("iceconnectionstatechange", lambda: note(f"ICE {self.connection.iceConnectionState}"))

    def make_streams(self, label="", ordered=True, maxRetransmits=None):
        make = self.connection.createDataChannel
        self.frames = make("peerage", negotiated=True, id=0)
        self.data = make(label, negotiated=True, id=1, ordered=ordered, maxRetransmits=maxRetransmits)
        self.data.bufferedAmountLowThreshold = ROOM_BYTES
        self.frames.on("message", self.on_frame)
        self.data.on("message", self.on_message)
        for stream in (self.frames, self.data):
            stream.on("open", lambda stream=stream: self.on_open(stream))
            stream.on("close", lambda stream=stream: self.on_close(stream))

    async def offer(self):
        terms = {"label": "", "ordered": True}
        self.make_streams(**terms)
        await self.connection.setLocalDescription(await self.connection.createOffer())
        await self.signal({"type": "offer", "restart": False, "sdp": self.connection.localDescription.sdp, **terms})

    async def answer(self, offer):
        self.make_streams(offer["label"], offer["ordered"], offer.get("maxRetransmits"))
        await self.describe(offer)
        await self.connection.setLocalDescription(await self.connection.createAnswer())
        await self.signal({"type": "answer", "restart": False, "sdp": self.connection.localDescription.sdp})

    async def receive(self, signal):
        if signal["type"] == "answer":
            await self.describe(signal)
        elif signal["type"] == "candidates":
            for line in signal["candidates"]:
                candidate = candidate_from_sdp(line.split("candidate:", 1)[1])
                candidate.sdpMLineIndex = 0
                await self.connection.addIceCandidate(candidate)
        elif signal["type"] == "end":
            await self.end(f"{signal['reason']} by the other peer")

    async def describe(self, signal):
        await self.connection.setRemoteDescription(aiortc.RTCSessionDescription(signal["sdp"], signal["type"]))

    async def signal(self, signal):
        await self.node.send(self.to, self.since, self.handshake, signal)

    async def send(self, data):
        """Waits while too many bytes wait in the stream (PP19)."""
        if self.data.bufferedAmount > FULL_BYTES:
            room = asyncio.Event()
            self.data.once("bufferedamountlow", room.set)
            await self.first(room, self.ended)
        self.data.send(data)
        self.sent += 1

    async def close(self):
        """Both sides say how many messages they sent. Each closes once it has all messages of the other (PP18)."""
        self.say_bye()
        try:
            await asyncio.wait_for(self.ended.wait(), CLOSE_S)
        except asyncio.TimeoutError:
            note("the other side did not say goodbye")
            await self.end("closed here")

    def say_bye(self):
        if not self.said_bye and self.frames.readyState == "open":
            self.said_bye = True
            self.frames.send(json.dumps({"type": "bye", "messages": self.sent}))

    def end_when_complete(self):
        if self.expected is not None and self.received_messages >= self.expected:
            self.say_bye()
            self.end_soon("closed by the other peer", PARTING_S)

    async def end(self, reason, parting_s=0):
        if not self.ended.is_set():
            self.ended.set()
            self.changed.set()
            self.owner.on_end(self, reason)
            await asyncio.sleep(parting_s)
        await self.connection.close()

    def end_soon(self, reason, parting_s=0):
        self.ending = asyncio.ensure_future(self.end(reason, parting_s))

    def on_open(self, stream):
        note(f"stream {stream.id} open")
        if self.frames.readyState == self.data.readyState == "open":
            self.opened.set()
            self.owner.on_open()

    def on_close(self, stream):
        note(f"stream {stream.id} close")
        self.end_soon("closed by the other peer")

    def on_state(self):
        state = self.connection.connectionState
        note(f"connection {state}")
        if state in ("failed", "closed"):
            self.end_soon(f"the connection {state}")

    def on_frame(self, text):
        frame = json.loads(text)
        note(f"frame {frame}")
        if frame["type"] == "bye":
            self.expected = frame["messages"]
            self.end_when_complete()

    def on_message(self, data):
        self.received.append(data)
        self.received_bytes += len(data)
        self.received_messages += 1
        self.changed.set()
        self.end_when_complete()

    async def until_received(self, count):
        while self.received_bytes < count and not self.ended.is_set():
            self.changed.clear()
            await self.changed.wait()

    @staticmethod
    async def first(*events):
        waits = [asyncio.ensure_future(event.wait()) for event in events]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
