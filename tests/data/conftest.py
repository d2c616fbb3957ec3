"""Small data sets made on the spot: prepared TFDS folders and torch.save files."""

import struct
import zipfile

import pytest
import tfds_files


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """(TFDS folder with small mnist and svhn_cropped, their images and labels)."""
    root = tmp_path_factory.mktemp("tfds")
    return root, tfds_files.write(root)


@pytest.fixture(scope="session")
def torch_save():
    """Writes an array, or a tuple of arrays and of {name: float}, as torch.save would.

    Opcode by opcode: torch itself is not needed.
    """
    return _torch_save


def _torch_save(path, value):
    storages = []
    if isinstance(value, tuple):
        code = b"(" + b"".join(_pickled(entry, storages) for entry in value) + b"t"
    else:
        code = _pickled(value, storages)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + code + b".")
        for key, array in enumerate(storages):
            archive.writestr(f"archive/data/{key}", array.tobytes())


def _pickled(entry, storages):
    """The opcodes that make one entry; its array joins ``storages``."""
    kinds = {"float32": "FloatStorage", "uint8": "ByteStorage", "int64": "LongStorage"}

    def number(value):
        return b"J" + struct.pack("<i", value)

    def text(value):
        return b"X" + struct.pack("<I", len(value)) + value.encode()

    if isinstance(entry, dict):
        pairs = [text(k) + b"G" + struct.pack(">d", v) for k, v in entry.items()]
        return b"}(" + b"".join(pairs) + b"u"
    storages.append(entry)
    strides = [step // entry.itemsize for step in entry.strides]
    return b"".join(
        [
            b"ctorch._utils\n_rebuild_tensor_v2\n((",
            text("storage") + b"ctorch\n" + kinds[entry.dtype.name].encode() + b"\n",
            text(str(len(storages) - 1)) + text("cpu") + number(entry.size) + b"tQ",
            number(0),
            b"(" + b"".join(map(number, entry.shape)) + b"t",
            b"(" + b"".join(map(number, strides)) + b"t",
            b"\x89ccollections\nOrderedDict\n)RtR",
        ]
    )
