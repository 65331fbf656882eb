#!/usr/bin/env bash
# pydicom 3.0.2: a CT slice, windowed, is black at -1024, at -32768 or at -66560, by how the scanner stores it.
#
# apply_voi_lut (apply_windowing) makes the picture that a radiologist sees: all below the window black, all above
# white. DICOM (PS3.3, C.11.2.1.2) has it map the window to the output's range, and display grey levels begin at 0.
# pydicom takes for the output the range of the stored pixels, by BitsStored and PixelRepresentation, and puts
# RescaleSlope and RescaleIntercept on it: of 12 bits with an intercept of -1024 black is -1024 and white 3071, of
# signed 16 bits -32768 and 32767, with a slope of 2 another pair; only of a file without an intercept it begins at 0.
# The Hounsfield numbers are the same in all, and so is the window. A set for classification that has several scanners
# in it, windowed by the library and divided by one number or normalised by one mean, gets another brightness and
# contrast for each scanner, and a network can learn the scanner. A minimum and a maximum taken from each picture hide
# it, as long as there is a pixel outside of the window at either end.
# Seen with: pydicom 3.0.2, numpy 2.4.6, Python 3.11. Output seen: `expected` below.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.11}" -m venv venv
venv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check pydicom==3.0.2 numpy==2.4.6

cat > look.py <<'PYTHON'
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

HOUNSFIELD = np.array([[-1000, -160, 0, 40], [80, 100, 240, 1000]])  # air, the window's ends, water and tissues, bone
CENTER, WIDTH = 40, 400


def save(name, dtype, bits, slope, intercept):
    file = Dataset()
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.SOPClassUID, file.SOPInstanceUID, file.Modality = CTImageStorage, "1.2.3", "CT"
    file.Rows, file.Columns = HOUNSFIELD.shape
    file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
    file.BitsAllocated, file.BitsStored, file.HighBit = 16, bits, bits - 1
    file.PixelRepresentation = int(np.issubdtype(dtype, np.signedinteger))
    file.RescaleSlope, file.RescaleIntercept = slope, intercept
    file.WindowCenter, file.WindowWidth = CENTER, WIDTH
    file.PixelData = ((HOUNSFIELD - intercept) // slope).astype(dtype).tobytes()
    file.save_as(name, enforce_file_format=True)


STORED = {
    "12 bits, intercept -1024": (np.uint16, 12, 1, -1024),
    "16 bits, intercept -1024": (np.uint16, 16, 1, -1024),
    "signed 12 bits, intercept 0": (np.int16, 12, 1, 0),
    "signed 16 bits, intercept 0": (np.int16, 16, 1, 0),
    "signed 16 bits, slope 2, intercept -1024": (np.int16, 16, 2, -1024),
}
for what, how in STORED.items():
    save("slice.dcm", *how)
    slice_ = pydicom.dcmread("slice.dcm")
    hounsfield = apply_modality_lut(slice_.pixel_array, slice_)
    seen = apply_voi_lut(hounsfield, slice_)
    same = "as written" if np.array_equal(hounsfield, HOUNSFIELD) else "others"
    air, water, bone = seen[0, 0], seen[0, 2], seen[1, 3]
    print(f"{what}: Hounsfield numbers {same}; windowed: air {air:.0f}, water {water:.0f}, bone {bone:.0f}")
    share = (seen - seen.min()) / (seen.max() - seen.min())
    print(f"    water as a share of the range: {share[0, 2]:.4f}")
PYTHON

cat > expected <<'TEXT'
12 bits, intercept -1024: Hounsfield numbers as written; windowed: air -1024, water 618, bone 3071
    water as a share of the range: 0.4010
16 bits, intercept -1024: Hounsfield numbers as written; windowed: air -1024, water 25256, bone 64511
    water as a share of the range: 0.4010
signed 12 bits, intercept 0: Hounsfield numbers as written; windowed: air -2048, water -406, bone 2047
    water as a share of the range: 0.4010
signed 16 bits, intercept 0: Hounsfield numbers as written; windowed: air -32768, water -6488, bone 32767
    water as a share of the range: 0.4010
signed 16 bits, slope 2, intercept -1024: Hounsfield numbers as written; windowed: air -66560, water -14001, bone 64510
    water as a share of the range: 0.4010
TEXT

venv/bin/python look.py 2> errors | tee seen
diff expected seen || { cat errors; echo "the behaviour has changed"; exit 1; }
echo "as described"
