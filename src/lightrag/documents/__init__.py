"""Files to text with pages and character spans, within limits; and the input folder they come from.

`DocumentParser` reads a file, `store_upload` takes one in, `scan_folder` finds them. A format is added in `formats`.
"""

from lightrag.documents.folder import FoundFile, file_md5, scan_folder
from lightrag.documents.formats import FORMATS, SUPPORTED_SUFFIXES, Format, Parser, format_of, suffix_of
from lightrag.documents.limits import ParseLimits
from lightrag.documents.names import resolve_inside, safe_file_name
from lightrag.documents.service import DocumentParser
from lightrag.documents.uploads import StoredUpload, remove_abandoned_parts, store_upload

__all__ = [
    "FORMATS",
    "SUPPORTED_SUFFIXES",
    "DocumentParser",
    "Format",
    "FoundFile",
    "ParseLimits",
    "Parser",
    "StoredUpload",
    "file_md5",
    "format_of",
    "remove_abandoned_parts",
    "resolve_inside",
    "safe_file_name",
    "scan_folder",
    "store_upload",
    "suffix_of",
]
