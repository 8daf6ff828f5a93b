"""Agents as short as can be: standard library only, so that a test of the command line is quick."""

from __future__ import annotations

ASK = """
import json, os, sys, urllib.request
def ask(model=os.environ.get("MODEL", "gpt-5.5"), **fields):
    body = {"model": model, "messages": [{"role": "user", "content": "Hello."}], **fields}
    request = urllib.request.Request(
        os.environ["OPENAI_BASE_URL"] + "/chat/completions", json.dumps(body).encode(),
        {"authorization": "Bearer " + os.environ["OPENAI_API_KEY"], "content-type": "application/json"})
    try:
        with urllib.request.urlopen(request) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)
"""
"""Defines ``ask``, which sends one request to a model and names no output limit."""

ONE_CALL = ASK + "print(ask()[0])"

UNTIL_REFUSED = ASK + "while ask(max_tokens=2000)[0] == 200: pass"

SHOW_ENVIRONMENT = "import json, os; print(json.dumps(dict(os.environ)))"

WAIT_FOR_SIGNALS = """
import signal, sys, time
def got(number, frame):
    print(signal.Signals(number).name, flush=True)
    got.count += 1
got.count = 0
for name in sys.argv[1:]:
    signal.signal(getattr(signal, name), got)
print("ready", flush=True)
while got.count == 0:
    signal.pause()
sys.exit(7)
"""
"""Prints each of the named signals that it gets, and ends with 7 after the first."""
