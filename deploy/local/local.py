#!/usr/bin/env python3
"""Everything Relay needs on one machine: tools without root, real servers without an installation.

    local.py check [--door up|servers|test]   what the machine lacks, and what mends it
    local.py install [WHAT …]                 onnxruntime kafka nats redis postgres openai batch mkdocs hadolint (default: all but the last two)
    local.py up [--dir DIR] [--only A,B]      starts the servers, writes DIR/servers.json and DIR/servers.env
    local.py run [--dir DIR] -- COMMAND …     the same for the length of one command, with the addresses in its environment
    local.py stop|start|kill|pause|resume NAME   one server, same port and data: outages for tests
    local.py status | down
"""

import sys

if sys.version_info < (3, 11):
    sys.exit(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}; mend it with: python3.11")

import argparse
import json
import os
import signal
import subprocess
from pathlib import Path

from harness import owner
from harness.fleet import Fleet
from harness.paths import SERVERS as DEFAULT_DIR
from harness.prerequisites import DOORS, check
from harness.say import Failed, say
from harness.servers import OPEN, SERVERS
from harness.tools import FOR_TESTS, TOOLS_BY_NAME, install


def names(text: str) -> list[str]:
    chosen = [name for name in text.split(",") if name]
    unknown = sorted(set(chosen) - set(SERVERS))
    if unknown:
        raise argparse.ArgumentTypeError(f"no server called {', '.join(unknown)}; there are {', '.join(SERVERS)}")
    return chosen


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    folder = argparse.ArgumentParser(add_help=False)
    default = Path(os.environ.get("RELAY_SERVERS_DIR", DEFAULT_DIR))
    folder.add_argument("--dir", type=Path, default=default, help="where the servers live (%(default)s)")

    def several(default: list[str]) -> list[argparse.ArgumentParser]:
        parent = argparse.ArgumentParser(add_help=False)
        parent.add_argument("--only", type=names, default=default, help=f"some of {', '.join(SERVERS)}, by comma")
        parent.add_argument("--fresh", action="store_true", help="without the data of the last time")
        return [folder, parent]

    one = actions.add_parser("check", help="what the machine lacks")
    one.add_argument("--door", choices=DOORS, default="test")
    one.add_argument("--quiet", action="store_true", help="only what is missing")
    one = actions.add_parser("install", help="fetch tools into .relay/tools")
    one.add_argument("what", nargs="*", choices=[[], *TOOLS_BY_NAME], help=", ".join(TOOLS_BY_NAME))
    one = actions.add_parser("up", parents=several(OPEN), help="start the servers")
    one.add_argument("--json", action="store_true", help="print servers.json")
    one.add_argument("--hold", action="store_true", help="stay until Ctrl-C, then stop them")
    one = actions.add_parser("run", parents=several(list(SERVERS)), help="start the servers for one command")
    one.add_argument("command", nargs="+", metavar="COMMAND")
    for name in ("stop", "start", "kill", "pause", "resume"):
        one = actions.add_parser(name, parents=[folder], help=f"{name} one server")
        one.add_argument("server", choices=SERVERS)
    actions.add_parser("down", parents=[folder], help="stop them all")
    actions.add_parser("status", parents=[folder], help="what runs, and where")
    actions.add_parser("guard", parents=[folder])
    return parser


def up(args: argparse.Namespace) -> int:
    if args.hold:
        with owner.owned(refuse_running(args), args.only, fresh=args.fresh) as (fleet, _):
            print((fleet.folder / "servers.env").read_text() + "\nCtrl-C stops them.", flush=True)
            try:
                while True:
                    signal.pause()
            except owner.Stopped:
                return 0
    fleet = Fleet(args.dir)
    fleet.up(args.only, fresh=args.fresh)
    print(json.dumps(fleet.state(), indent=2) if args.json else (fleet.folder / "servers.env").read_text(), end="")
    return 0


def run(args: argparse.Namespace) -> int:
    with owner.owned(refuse_running(args), args.only, fresh=args.fresh) as (fleet, keeper):
        # In a process group of its own a command cannot read the terminal: it would be stopped for ever.
        stdin = subprocess.DEVNULL if sys.stdin and sys.stdin.isatty() else None
        child = owner.supervise(args.command, keeper, owner.environment(fleet), stdin=stdin)
        return owner.wait(child)


def refuse_running(args: argparse.Namespace) -> Path:
    """Who owns servers also ends them, so it must not find someone else's."""
    there = [name for name in SERVERS if Fleet(args.dir).is_up(name)]
    if there:
        raise Failed(f"{', '.join(there)} already run in {args.dir}; use them, or end them with `local.py down`")
    return args.dir


def status(args: argparse.Namespace) -> int:
    fleet = Fleet(args.dir)
    for name, entry in fleet.state().items():
        print(f"{'up  ' if fleet.is_up(name) else 'down'}  {name:16} {entry[SERVERS[name].address_key]}")
    return 0


def main() -> int:
    args = arguments().parse_args()
    match args.action:
        case "check":
            check(args.door, quiet=args.quiet)
        case "install":
            install(args.what or FOR_TESTS)
        case "up":
            return up(args)
        case "run":
            return run(args)
        case "status":
            return status(args)
        case "down":
            Fleet(args.dir).down()
        case "guard":
            owner.guard(args.dir)
        case action:
            getattr(Fleet(args.dir), action)(args.server)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as why:
        say(f"local.py: {why}")
        sys.exit(1)
    except owner.Stopped as why:
        sys.exit(128 + why.signum)
