"""The 113 odd and broken archives of other tools' test suites, compared with the findings of a tolerant reader."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dclm.pool.files import list_files
from dclm.pool.read import Tally, read_file

READ = ("response", "resource", "conversion")
DIFFERENT = {
    # warcio refuses several records in one gzip member; they can still be read one after another
    "castorini+anserini__segment1.warc.gz": {"response": 1},
    "castorini+anserini__segment1.warc.wet.gz": {"conversion": 1},
    "archivesunleashed+aut__badexample.arc.gz": {"response": 3},
    # warcio miscounts the length of the file's header and gives up; the records after it are intact
    "commoncrawl+ia-web-commons__IAH-20080430204825-00000-blackbook-truncated.arc": {"response": 8},
    # warcio mistakes two HTTP status lines in the debris after a wrong length for records; there are two in the file
    "oduwsdl+ipwb__broken.warc": {"response": 2},
    # line ends were converted, so that the lengths are too large by the carriage returns; warcio stops at the second
    "sing-group+WARCProcessor__test.warc": {"response": 2},
    # records without any header but the type: warcio crashes
    "netarchivesuite+jwat__invalid-warcfile-lonely-request-response-resource-conversion.warc": {
        "response": 1, "resource": 1, "conversion": 1,
    },
}  # fmt: skip
"""The actual content of files on which the index's reader gave up."""


@pytest.mark.shared
def test_every_archive_is_read_and_has_the_records_that_a_tolerant_reader_finds(shared: Path) -> None:
    index = json.loads((shared / "web/native/index.json").read_text())
    files = {file.name: file for file in list_files([str(shared / "web/native")])}
    assert len(files) == 113
    for entry in index:
        name = entry["file"]
        tally = Tally()
        rejects = [r for batch in read_file(files[name], tally) for r in batch.column("_reject").to_pylist()]
        found = sum(entry["records"].get(kind, 0) for kind in READ)
        if name in DIFFERENT:
            assert entry["parse_error"], name
            found = sum(DIFFERENT[name].values())
        assert tally.records == len(rejects) == found, name
        if not entry["parse_error"]:
            others = {k.strip(): n for k, n in entry["records"].items() if k not in READ}
            others["unknown"] = others.pop("", 0) + others.pop("unknown", 0)
            assert {"unknown": 0, **tally.skipped} == others, name


@pytest.mark.shared
def test_the_crawl_is_read_whole(shared: Path) -> None:
    count = size = 0
    for file in list_files([str(shared / "web/crawl-*.warc.gz")]):
        tally = Tally()
        for batch in read_file(file, tally):
            assert not batch.column("_reject").is_valid().to_pylist().count(True)
            size += batch.column("body").nbytes
        count += tally.records
        assert tally.damage == []
        assert tally.skipped == {"warcinfo": 1}
    assert count == 2299
    assert size > 281_000_000
