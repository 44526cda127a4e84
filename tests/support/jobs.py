"""What tests look at in a job item."""

from raytracker.job_table import JobItem


def counts(job: JobItem) -> tuple[int | None, int | None, int | None]:
    """Returns region_count, region_success and region_error."""
    return job.region_count, job.region_success, job.region_error
