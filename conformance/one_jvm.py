#!/usr/bin/env python3
"""The command line as a BIN of check.py that starts one JVM for all cases: thousands of small cases in minutes.
usage: HEADSTART_CLASSPATH=... check.py --bin conformance/one_jvm.py --root CASES      (the class path of the module cli with its dependencies, compiled classes before jars)"""
import json, os, subprocess, sys
from pathlib import Path

RUNNING = None


def start():
    global RUNNING
    env = dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", HF_HUB_OFFLINE="1")
    RUNNING = subprocess.Popen(["java", "-Xmx1g", "-XX:TieredStopAtLevel=1", "-Dorg.bytedeco.javacpp.maxPhysicalBytes=6g", "-cp", env["HEADSTART_CLASSPATH"], str(Path(__file__).with_name("OneJvm.java"))],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env, text=True, encoding="utf-8")


def main(args):
    if RUNNING is None or RUNNING.poll() is not None:
        start()
    absolute = [a if i == 0 or len(a) > 200 else os.path.abspath(a) if args[i - 1] == "--outputs" or os.path.isfile(a) or args[i - 1].startswith("--") and os.path.isdir(a) else a for i, a in enumerate(args)]
    RUNNING.stdin.write(json.dumps(absolute) + "\n")
    RUNNING.stdin.flush()
    line = RUNNING.stdout.readline()
    if not line:
        raise RuntimeError("the JVM ended")
    answer = json.loads(line)
    sys.stdout.write(answer["out"])
    if answer["code"]:
        raise RuntimeError(f"exit {answer['code']}: {(answer['err'].strip().splitlines() or ['no message'])[-1]}")
