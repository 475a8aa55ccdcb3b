"""Teacher outputs on disk: a cache per (teacher, data, augmentation), with a page per view.

    <root>/<key>/key.json       readable content of the key
    <root>/<key>/00003.rows     page 3: one record per image, in the order of the pass
    <root>/<key>/00003.json     number of valid records, and their checksum

Records are only appended, and only records covered by the checksum are valid: readers see a page
once all its records are valid, and a writer continues after the last valid record.
"""

from kdrun.teachers.cache.cache import TeacherCache
from kdrun.teachers.cache.page import Page
from kdrun.teachers.cache.quota import CacheQuota
from kdrun.teachers.cache.writer import PageWriter

__all__ = ["CacheQuota", "Page", "PageWriter", "TeacherCache"]
