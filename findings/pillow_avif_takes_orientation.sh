#!/usr/bin/env bash
# pillow 13.0.0: saving a copy as AVIF takes the orientation out of the caller's EXIF, so that the original stays lying.
#
# AVIF has its own property for turning, and Pillow writes EXIF's orientation there when it saves. It removes the tag
# from the Exif object that it was given, and not from a copy. image.getexif() is the object that belongs to the image:
# after image.save("copy.avif", exif=image.getexif()) ImageOps.exif_transpose(image) does nothing any more, and an array
# made of it is of the unturned pixels. Whoever writes several sizes or formats with one Exif object gets the first AVIF
# right and lying pictures behind it, of all formats. JPEG, PNG, WebP and TIFF leave the object alone, and so does AVIF
# with the bytes of it, exif=image.getexif().tobytes().
# Seen with: pillow 13.0.0, Python 3.11. Output seen: `expected` below.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.11}" -m venv venv
venv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check pillow==13.0.0

cat > look.py <<'PYTHON'
import io

from PIL import ExifTags, Image, ImageOps

ORIENTATION = ExifTags.Base.Orientation


def photograph():
    """A JPEG file of 48 by 32 pixels which is to be turned by a quarter (orientation 6)."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    file = io.BytesIO()
    Image.new("RGB", (48, 32)).save(file, "JPEG", exif=exif)
    return Image.open(file)


def saved(image, form, exif):
    file = io.BytesIO()
    image.save(file, form, exif=exif)
    return Image.open(file)


def upright(image):
    return "{} by {}".format(*ImageOps.exif_transpose(image).size)


for form in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF"):
    image = photograph()
    exif = image.getexif()
    copy = saved(image, form, exif)
    print(f"{form}: the copy upright {upright(copy)}, then tag {exif.get(ORIENTATION)}, the original {upright(image)}")

image = photograph()
exif = image.getexif()
for form in ("JPEG", "AVIF", "AVIF", "JPEG"):
    print(f"one after the other, {form}: upright {upright(saved(image, form, exif))}")

image = photograph()
copy = saved(image, "AVIF", image.getexif().tobytes())
print(f"AVIF, bytes: the copy upright {upright(copy)}, the original {upright(image)}")
PYTHON

cat > expected <<'TEXT'
JPEG: the copy upright 32 by 48, then tag 6, the original 32 by 48
PNG: the copy upright 32 by 48, then tag 6, the original 32 by 48
WEBP: the copy upright 32 by 48, then tag 6, the original 32 by 48
TIFF: the copy upright 32 by 48, then tag 6, the original 32 by 48
AVIF: the copy upright 32 by 48, then tag None, the original 48 by 32
one after the other, JPEG: upright 32 by 48
one after the other, AVIF: upright 32 by 48
one after the other, AVIF: upright 48 by 32
one after the other, JPEG: upright 48 by 32
AVIF, bytes: the copy upright 32 by 48, the original 32 by 48
TEXT

venv/bin/python look.py 2> errors | tee seen
diff expected seen || { cat errors; echo "the behaviour has changed"; exit 1; }
echo "as described"
