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
import signal, sys
names = sys.argv[1:]
numbers = [signal.Signals[name] for name in names]
signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
print("ready", flush=True)
got = None
while names and got != names[-1]:
    got = signal.Signals(signal.sigwait(numbers)).name
    print(got, flush=True)
if not names:
    signal.pause()
sys.exit(7)
"""
"""Prints each of the named signals that it gets, and ends with 7 after the last of them."""

LEAVE_A_STREAM_OPEN = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE, stderr=-3)
child.stdout.readline()
sys.exit(5)
"""
"""Starts the program of its first argument, and ends when that has printed a line."""

READ_A_STREAM = """
import json, os, urllib.request
body = {"model": "gpt-5.5", "stream": True, "messages": [{"role": "user", "content": "Hello."}]}
request = urllib.request.Request(
    os.environ["OPENAI_BASE_URL"] + "/chat/completions", json.dumps(body).encode(),
    {"authorization": "Bearer " + os.environ["OPENAI_API_KEY"], "content-type": "application/json"})
with urllib.request.urlopen(request) as reply:
    print(reply.readline(), flush=True)
    reply.read()
"""

ASK_GEMINI = """
from google import genai
with genai.Client() as client:
    reply = client.models.generate_content(model="gemini-3.5-flash", contents="Hello.")
print(reply.candidates[0].finish_reason.value)
"""
