"""Files to text with pages and character spans, within limits; and the input folder they come from.

`service.DocumentParser` reads a file, `uploads.store_upload` takes one in, `folder.scan_folder` finds them, and
`names` makes their names safe. A format is added in `formats`. Nothing is imported here: readers must start fast.
"""
