"""`mindcv cache`: the compiled graphs that are kept for the next start."""

import argparse
import time
from pathlib import Path

from mindcv.utils.graph_store import GraphStore, StoredGraph, default_cache_folder

HELP = "list or clear the compiled graphs that are kept for the next start (compile_cache)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    parser.add_argument("action", choices=("list", "size", "clear"), help="what to do")
    parser.add_argument("--folder", help="the folder that compile_cache names (default: that of compile_cache: auto)")


def run(args: argparse.Namespace) -> int:
    """Does it and returns 0."""
    folder = Path(args.folder).expanduser() if args.folder else default_cache_folder()
    if args.folder and not folder.is_dir():
        raise FileNotFoundError(f"--folder: there is no folder {folder}")
    store = GraphStore(folder, is_read=True)
    if args.action == "clear":
        count, size = store.clear()
        print(f"{folder}: removed {count} graphs, {size / 2**20:.1f} MiB")
        return 0
    graphs = store.graphs()
    if args.action == "list":
        for graph in graphs:
            print(_line(graph))
    print(summary(store))
    return 0


def summary(store: GraphStore) -> str:
    """Says in one line where graphs are kept, how many there are and how large they are."""
    graphs = store.graphs()
    size = sum(graph.size for graph in graphs)
    return f"{store.folder}: {len(graphs)} graphs, {size / 2**20:.1f} of at most {store.most_bytes / 2**20:.0f} MiB"


def _line(graph: StoredGraph) -> str:
    used = time.strftime("%Y-%m-%d %H:%M", time.localtime(graph.used))
    of = "put aside as unusable" if graph.is_aside else graph.of
    return f"{graph.path.name[:12]}  {graph.size / 2**20:7.1f} MiB  used {used}  {of}"
