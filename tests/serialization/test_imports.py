"""Optional libraries are recognized, never imported, by the library itself."""

import subprocess
import sys


def test_neither_pydantic_nor_attrs_is_imported() -> None:
    code = (
        "import sys, headwater.serialization as s, headwater.messages as m\n"
        "class Happened(m.Event): pass\n"
        "s.EventCodec(s.TypeRegistry()).encode(Happened())\n"
        "print(sorted({'pydantic', 'attr', 'attrs'} & set(sys.modules)))"
    )

    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ran.stdout.strip() == "[]"
