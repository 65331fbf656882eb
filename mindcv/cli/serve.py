"""`mindcv serve`: a model as an HTTP service with a page."""

import argparse
import os
import warnings

from mindcv.utils.cores import usable_cores
from mindcv.utils.fs import local_path
from mindcv.utils.log import show_notes

from ._model_options import add_model_options, say_runtime

HELP = "serve a model over HTTP, with a page to try it"

TOKEN_VARIABLE = "MINDCV_SERVE_TOKEN"
_SHORTEST_TOKEN = 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    add_model_options(parser)

    reach = parser.add_argument_group("who can reach it")
    reach.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 for all (default: this machine alone)"
    )
    reach.add_argument("--port", type=int, default=8000, metavar="N", help="0 for any that is free (default: 8000)")
    reach.add_argument(
        "--allow_host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name by which it is reached, as behind a proxy; again for others",
    )
    reach.add_argument(
        "--token_file", metavar="FILE", help=f"text that callers must show (default: that of {TOKEN_VARIABLE}, or none)"
    )

    work = parser.add_argument_group("how it works")
    work.add_argument("--max_batch", type=int, default=16, metavar="N", help="images that run at once (default: 16)")
    work.add_argument(
        "--max_wait_ms",
        type=float,
        default=100.0,
        metavar="MS",
        help="how long a batch waits, at most, for images that are being decoded (default: 100)",
    )
    work.add_argument(
        "--max_queue", type=int, default=128, metavar="N", help="images that may wait; more are refused (default: 128)"
    )
    work.add_argument("--workers", type=int, metavar="N", help="threads that decode (default: cores, at most 4)")
    work.add_argument("--max_body_mb", type=float, default=32.0, metavar="MB", help="of one request (default: 32)")
    work.add_argument("--max_megapixels", type=float, default=64.0, metavar="MP", help="of one image (default: 64)")


def run(args: argparse.Namespace) -> int:
    """Serves until Ctrl-C or SIGTERM, finishes what was begun and returns 0.

    Raises:
        FileNotFoundError: The model is not there.
        ImportError: A package is not installed.
        KeyboardInterrupt: A second signal ended it at once.
        ValueError: The port is taken, or options are wrong.
    """
    _require_packages()
    from mindcv.serve.server import address_of, is_loopback, make_server, open_port

    token = _token(args.token_file)
    for name in ("max_body_mb", "max_megapixels"):
        if not 0 < getattr(args, name) <= 1024:
            raise ValueError(f"--{name}: got {getattr(args, name):g}; give a number above 0, at most 1024")
    for name in ("max_batch", "workers"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise ValueError(f"--{name}: got {value}; give a number from 1")
    listener = open_port(args.host, args.port)
    from PIL import Image

    from mindcv.data import read_class_names
    from mindcv.data.preprocess import check_channels
    from mindcv.engine import setup_run
    from mindcv.export import Classifier
    from mindcv.export.runtime import read_key
    from mindcv.serve import Service, create_app
    from mindcv.serve.service import sizes_up_to

    device = setup_run(args.device_target, 0, None, False, 0)
    show_notes("mindcv.data.preprocess")
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # such pictures are refused
    sizes = sizes_up_to(args.max_batch)
    classifier = Classifier(
        args.model,
        args.config,
        class_names=read_class_names(args.class_names) if args.class_names else None,
        batch_size=args.max_batch,
        compiled_sizes=sizes,
        shares_cores=True,
        pretrained=args.pretrained,
        key=read_key(args.key_file) if args.key_file else None,
        runtime=args.runtime or "auto",
        precision=args.precision or "fp32",
    )
    say_runtime(classifier.runtime, bool(args.runtime or args.precision))
    check_channels(len(classifier.preprocess.mean))
    service = Service(
        classifier,
        max_batch=args.max_batch,
        max_wait_ms=args.max_wait_ms,
        max_queue=args.max_queue,
        max_pixels=round(args.max_megapixels * 1e6),
        workers=args.workers or min(4, usable_cores()),
    )
    service.warm_up(sizes)
    app = create_app(
        service,
        max_body_bytes=round(args.max_body_mb * 1e6),
        token=token,
        hosts=[args.host, *args.allow_host],
        device="CPU" if classifier.format == "onnx" else device,
    )

    def say() -> None:
        if token is None and not is_loopback(listener):
            print("mindcv: everybody who reaches this port may use it; --token_file FILE asks for a token", flush=True)
        print(
            f"mindcv: {classifier.name} ({classifier.format}) is at {address_of(listener)}  Ctrl-C stops it", flush=True
        )

    server = make_server(app, say)
    server.run(sockets=[listener])
    if server.force_exit:
        raise KeyboardInterrupt
    print("mindcv: stopped; everything that was begun is answered")
    return 0


def _require_packages() -> None:
    try:
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise ImportError(f"mindcv serve needs {error.name}; pip install 'mindcv[serve]'") from error


def _token(path: str | None) -> str | None:
    """Returns what callers must show.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is too short, or has characters that no header can have.
    """
    if path is None:
        source, token = TOKEN_VARIABLE, os.environ.get(TOKEN_VARIABLE, "")
        if not token:
            return None
    else:
        source = path
        if not local_path(path).is_file():
            raise FileNotFoundError(f"{path}: there is no such token file")
        token = local_path(path).read_bytes()[:4096].decode("utf-8", "replace").strip()
    if len(token) < _SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError(
            f"{source}: a token has at least {_SHORTEST_TOKEN} letters, digits or signs and no spaces; "
            "`openssl rand -hex 16` makes one"
        )
    return token
