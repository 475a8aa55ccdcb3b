"""Teacher outputs on disk: a cache for each (teacher, data, augmentation), a page for each view.

    <root>/<key>/key.json       what the key is made of, to read
    <root>/<key>/00003.rows     page 3: a record for each image, in the order they were seen
    <root>/<key>/00003.json     how many of the records count, and their checksum

Records are only ever appended, and what has no checksum does not count: a reader sees a page when
all of it has one, and a writer goes on after the last record that has one.
"""

from kdrun.teachers.cache.cache import TeacherCache
from kdrun.teachers.cache.page import Page
from kdrun.teachers.cache.quota import CacheQuota
from kdrun.teachers.cache.writer import PageWriter

__all__ = ["CacheQuota", "Page", "PageWriter", "TeacherCache"]
