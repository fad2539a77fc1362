"""A small peer that follows packages/protocol/SPEC.md §3: python3 minimal.py URL NAME [TO TEXT]. Ctrl-C leaves."""
import asyncio, base64, json, secrets, signal, sys, urllib.parse
import socketio

if len(sys.argv) not in (3, 5):
    sys.exit('usage: python3 minimal.py URL NAME [TO TEXT]')
url, name, *message_to_send = sys.argv[1:]
hello = {'v': 1, 'name': name, 'secret': secrets.token_urlsafe(16)}  # with the secret it reclaims the name after a cut
TEMPORARY = {'away', 'slow-consumer', 'registry-unavailable', 'access-unavailable', 'rate-limited', 'overloaded', 'draining'}
FINAL = {'superseded', 'left', 'refused', 'protocol', 'token-expired'}  # no reconnect after these
sio = socketio.AsyncClient(reconnection_delay_max=20, handle_sigint=False)  # reconnects by itself, with the same hello
asked, heard, streams, over = {}, {}, {}, asyncio.Event()


async def say(frame, fields, ends, *waits):
    """Sends a frame, again after each wait, until an answer ends it."""
    answer = asyncio.get_running_loop().create_future()
    asked.update(frame=frame, fields=fields, ends=ends, answer=answer)
    for seconds in waits:
        await say_again()
        await asyncio.wait([answer], timeout=seconds)
        if answer.done():
            break
    asked.clear()
    return answer.result() if answer.done() else {'code': 'timeout'}


async def say_again():
    if asked and '/' in sio.namespaces:
        fields = asked['fields']
        await sio.emit(asked['frame'], dict(fields))
        fields['fresh'] = True  # only for `send`: the frame was sent before


def answered(m):
    if asked and not asked['answer'].done() and m.get('code') not in TEMPORARY and asked['ends'](m):
        asked['answer'].set_result(m)


async def lookup(who):
    id = secrets.randbelow(2**32)
    answer = await say('lookup', {'id': id, 'names': [who]}, lambda m: m.get('id') == id, 5, 5, 5)
    return answer['peers'][0] if 'peers' in answer else answer


async def send(to, text):
    peer = await lookup(to)
    if 'since' not in peer:
        return peer.get('code', 'unavailable')
    line = streams.setdefault((to, peer['since']), {'stream': secrets.token_urlsafe(8), 'seq': 0})
    line['seq'] += 1
    fields = dict(line, to=to, since=peer['since'], base=line['seq'], kind='message', body='s' + text)
    mine = lambda m: m.get('stream') == line['stream'] and line['seq'] in (m.get('seq'), m.get('next', 0) - 1)
    end = await say('send', fields, mine, 2, 4, 8, 8, 8)
    return end.get('code') or ('incompatible' if int(end.get('unread', '0'), 16) & 1 else 'delivered')


def take(got):
    """Returns the bodies of the next message, once all of its parts have arrived."""
    first = got['bodies'].get(got['next'], '')
    seqs = range(got['next'], got['next'] + (int(first[1]) if first[:2] in ('p2', 'p3', 'p4') else 1))
    return [got['bodies'].pop(seq) for seq in seqs] if all(seq in got['bodies'] for seq in seqs) else []


def decode(body):
    return body[1:] if body[:1] == 's' else list(base64.b64decode(body[1:])) if body[:1] == 'b' else json.loads(body)


async def message(m):
    if len(heard) > 1000:
        del heard[next(iter(heard))]  # strangers must not make this grow forever
    got = heard.setdefault((m['from'], m['stream']), {'next': m['base'], 'bodies': {}, 'unread': 0})
    got['next'] = max(got['next'], m['base'])
    got['bodies'] = {seq: body for seq, body in got['bodies'].items() if seq >= got['next']}
    if got['next'] <= m['seq'] < got['next'] + 64:
        got['bodies'][m['seq']] = m['body']
    while parts := take(got):
        got['next'] += len(parts)
        got['unread'] = got['unread'] << len(parts) & 2**64 - 1
        if m['kind'] != 'message':
            continue  # a call, which cannot be answered without WebRTC
        try:
            print('message', m['from'], decode(parts[0] if len(parts) == 1 else ''.join(p[2:] for p in parts)))
        except (ValueError, RecursionError):
            got['unread'] |= 2 ** len(parts) - 1
    ack = {'to': m['from'], 'stream': m['stream'], 'next': got['next']}
    await sio.emit('ack', {'acks': [ack | {'unread': f"{got['unread']:x}"} if got['unread'] else ack]})


async def welcome(m):
    print('welcome', m['name'], m['since'], m['node'])
    await say_again()


async def stop(reason):
    print('closed', reason)
    sio.reconnection = False
    over.set()


async def closing(m):
    sio.reconnection_delay = m.get('retryAfterMs', 1000) / 1000
    if m['reason'] in FINAL or m['reason'] == 'disconnected' and m.get('code', 4505) >= 4500:
        await stop(m['reason'])


async def connect_error(error):
    """Stops if the refusal is final. The exception of `connect` does not contain the reason, but this event does."""
    if isinstance(error, dict) and error['data']['code'] not in TEMPORARY:
        await stop(error['data']['code'])


async def leave():
    sio.reconnection = False
    if '/' in sio.namespaces:
        await sio.emit('leave', {})
        await asyncio.sleep(2)  # the node answers with `closing`
    over.set()


async def main():
    path = urllib.parse.urlsplit(url).path.strip('/') + '/peerage/'
    for event in (welcome, message, closing, connect_error):
        sio.on(event.__name__, event)
    for event in ('found', 'error', 'acked', 'notice'):
        sio.on(event, answered)
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, lambda: asyncio.ensure_future(leave()))
    while not sio.connected and not over.is_set():
        try:
            await sio.connect(url, auth=hello, transports=['websocket'], socketio_path=path, wait_timeout=10)
        except socketio.exceptions.ConnectionError as error:
            print('waiting', error.__context__ or error)
            await asyncio.sleep(1)
    if message_to_send and not over.is_set():
        print('sent', await send(*message_to_send))
    await over.wait()
    await sio.disconnect()


sys.stdout.reconfigure(line_buffering=True)
asyncio.run(main())
