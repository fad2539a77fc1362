"""A peer in Python that follows packages/protocol/SPEC.md §3: python3 peer.py URL NAME. README.md lists its commands."""
import asyncio, base64, collections, itertools, json, random, secrets, signal, sys, time, urllib.parse
import socketio

if len(sys.argv) != 3 or not sys.argv[1].startswith(('http://', 'https://')):
    sys.exit('usage: python3 peer.py URL NAME, such as python3 peer.py http://127.0.0.1:9000 py')
url, name = sys.argv[1:]
hello = {'v': 1, 'name': name, 'secret': secrets.token_urlsafe(16)}  # with the secret a reconnect reclaims the name
TEMPORARY = {'away', 'slow-consumer', 'registry-unavailable', 'access-unavailable', 'rate-limited', 'overloaded', 'draining'}
ENDS = {'unavailable', 'forbidden', 'incompatible', 'relay-refused', 'too-large'}
FINAL = {'superseded', 'left', 'refused', 'protocol', 'token-expired'}
BODY_MOST, FRAME_MOST = 49_152, 65_536
sio = socketio.AsyncClient(reconnection_delay_max=20, handle_sigint=False)
ids, waiting, outgoing, incoming = itertools.count(1), {}, {}, {}
tasks = set()
turns = collections.defaultdict(asyncio.Lock)  # each peer gets one message at a time, so `base` is always `seq`
over = asyncio.Event()
refusing = set()  # callers whose calls are being refused: one call per peer at a time, and 16 in all


def tell(*words):
    print(*words, flush=True)


async def emit(frame, fields):
    if '/' in sio.namespaces:
        await sio.emit(frame, fields)


async def say(key, seconds, frame, **fields):
    """Sends a frame and returns its answer, or None if no answer came in time or the connection changed."""
    waiting[key] = asyncio.get_running_loop().create_future()
    await emit(frame, fields)
    try:
        return await asyncio.wait_for(waiting[key], seconds)
    except asyncio.TimeoutError:
        return None


def settle(key, answer):
    if key in waiting and not waiting[key].done():
        waiting[key].set_result(answer)


async def lookup(who):
    for id in itertools.islice(ids, 6):
        answer = await say(id, 5, 'lookup', id=id, names=[who]) or {'code': 'timeout', 'retryAfterMs': 0}
        if 'peers' in answer:
            return answer['peers'][0]
        if answer['code'] not in TEMPORARY | {'timeout'}:
            return answer
        await asyncio.sleep(answer.get('retryAfterMs', 500) / 1000)
    return {'code': 'timeout'}


async def send(to, data, kind='message', **more):
    async with turns[to, kind]:
        peer = await lookup(to)
        if 'since' not in peer:
            return peer.get('code', 'unavailable')
        line = outgoing.setdefault((to, peer['since'], kind), {'stream': secrets.token_urlsafe(8), 'seq': 0})
        seq = line['seq'] + 1
        frame = dict(line, seq=seq, to=to, since=peer['since'], base=seq, kind=kind, body=json.dumps(data), **more)
        if len(frame['body']) > BODY_MOST or len(json.dumps(['send', frame | {'fresh': True}])) + 2 > FRAME_MOST:
            return 'too-large'  # it would have to be sent in parts (WD17)
        line['seq'] = seq
        key = (to, line['stream'], seq)
        for seconds in (2, 4, 8, 8, 8):
            if end := await say(key, seconds, 'send', **frame):
                return end
            frame['fresh'] = True
        return 'timeout'


def take(got):
    """Returns the body of the next message, once all of its parts have arrived."""
    first = got['early'].get(got['next'], '')
    seqs = range(got['next'], got['next'] + (int(first[1]) if first[:2] in ('p2', 'p3', 'p4') else 1))
    if any(seq not in got['early'] for seq in seqs):
        return None
    got['next'] += len(seqs)
    bodies = [got['early'].pop(seq) for seq in seqs]
    return first if len(seqs) == 1 else ''.join(body[2:] for body in bodies)


def decode(body):
    if body[:1] == 's':
        return body[1:]
    return list(base64.b64decode(body[1:])) if body[:1] == 'b' else json.loads(body)


def start(work):
    task = asyncio.create_task(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)


def answer_call(caller, handshake, body):
    """Refuses an offer at once, so that its caller need not wait for an answer. There is no WebRTC here."""
    async def refuse():
        refusing.add(caller)
        await send(caller, {'type': 'end', 'reason': 'refused'}, 'signal', handshake=handshake)
        refusing.discard(caller)

    try:
        is_offer = decode(body)['type'] == 'offer'
    except (ValueError, RecursionError, TypeError, KeyError):
        return
    if is_offer and handshake and caller not in refusing and len(refusing) < 16:
        start(refuse())


@sio.on('message')
async def message(m):
    got = incoming.setdefault((m['from'], m['stream']), {'next': m['base'], 'early': {}, 'unread': 0})
    got['at'] = time.monotonic()
    if m['base'] > got['next']:
        got['next'], got['unread'] = m['base'], 0
    if got['next'] <= m['seq'] < got['next'] + 64:
        got['early'][m['seq']] = m['body']
    got['early'] = {seq: body for seq, body in got['early'].items() if seq >= got['next']}
    next_before = got['next']
    while (body := take(got)) is not None:
        count, next_before = got['next'] - next_before, got['next']
        got['unread'] = got['unread'] << count & 2**64 - 1
        if m['kind'] == 'signal':
            answer_call(m['from'], m.get('handshake'), body)
        elif body[:1] != 'p':  # a part of a message that its sender gave up is ignored
            try:
                tell('message', m['from'], json.dumps(decode(body)))
            except (ValueError, RecursionError):
                tell('unreadable', m['from'])
                got['unread'] |= 2**count - 1
    ack = {'to': m['from'], 'stream': m['stream'], 'next': got['next']}
    await emit('ack', {'acks': [ack | {'unread': f"{got['unread']:x}"} if got['unread'] else ack]})
    for key in [key for key, old in incoming.items() if old['at'] < got['at'] - 300]:
        del incoming[key]


@sio.on('acked')
def acked(m):
    unread = int(m.get('unread', '0'), 16) & 1
    settle((m['from'], m['stream'], m['next'] - 1), 'incompatible' if unread else 'delivered')


@sio.on('notice')
def notice(m):
    if m['code'] in ENDS:
        settle((m['to'], m['stream'], m['seq']), 'unavailable' if m['code'] == 'forbidden' else m['code'])


@sio.on('found')
@sio.on('error')
def answered(m):
    settle(m.get('id'), m)


@sio.on('welcome')
def welcome(m):
    tell('welcome', m['name'], m['since'], m['node'])
    sio.reconnection_delay = 1
    for key in waiting:
        settle(key, None)


def stop(*reason):
    tell('closed', *reason)
    sio.reconnection = False
    over.set()


@sio.on('closing')
def closing(m):
    sio.reconnection_delay = m.get('retryAfterMs', 1000) / 1000
    if m['reason'] in FINAL or m['reason'] == 'disconnected' and m.get('code', 4505) >= 4500:
        stop(m['reason'])


@sio.on('connect_error')
def refused(error):
    refusal = error.get('data') if isinstance(error, dict) else None
    if refusal and refusal['code'] not in TEMPORARY:
        stop(refusal['code'], refusal['detail'])


def value(text):
    """Parses JSON. Any other text is returned as it is."""
    try:
        return json.loads(text, parse_constant=lambda _: text)
    except (ValueError, RecursionError):
        return text


async def leave():
    """Releases the name. Without `leave` the name stays taken for `graceMs`."""
    await emit('leave', {})
    await asyncio.wait([asyncio.create_task(over.wait())], timeout=2 if '/' in sio.namespaces else 0)
    over.set()


async def obey(verb, to=None, data=None):
    if verb == 'lookup' and to:
        tell('found', json.dumps(await lookup(to)))
    elif verb == 'send' and data is not None:
        tell('sent', to, await send(to, value(data)))
    elif verb == 'leave':
        await leave()
    else:
        tell('usage:', 'lookup NAME | send NAME JSON-OR-TEXT | leave')


async def listen():
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := await commands.readline():
        if words := line.decode(errors='replace').strip().split(maxsplit=2):
            start(obey(*words))


def why(error):
    """The cause that python-socketio's own error hides: connection refused, an HTTP status, a certificate error."""
    while error.__context__:
        error = error.__context__
    return error


async def connect():
    path = urllib.parse.urlsplit(url).path.strip('/') + '/peerage/'
    while not sio.connected and not over.is_set():
        try:
            await sio.connect(url, auth=hello, transports=['websocket'], socketio_path=path, wait_timeout=10)
        except (socketio.exceptions.SocketIOError, OSError, asyncio.TimeoutError, ValueError) as error:
            if not over.is_set():
                tell('waiting', why(error) or repr(error))
                await asyncio.sleep(random.uniform(0, 5))
    await listen()


async def main():
    for stopping in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(stopping, lambda: start(leave()))
    connecting = asyncio.create_task(connect())
    await asyncio.wait([connecting, asyncio.create_task(over.wait())], return_when=asyncio.FIRST_COMPLETED)
    if connecting.done():
        connecting.result()  # raises an error that nothing has caught
    await over.wait()
    connecting.cancel()
    await sio.disconnect()
    if sio.eio.http:
        await sio.eio.http.close()  # python-socketio leaves it open if it never connected


asyncio.run(main())
