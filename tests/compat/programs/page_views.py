"""Count the views of each page: the stream is regrouped by page, and a table counts."""

import faust

import pelton


class PageView(faust.Record):
    page: str
    user: str


app = pelton.App("page-views", topic_partitions=2)
page_view_topic = app.topic("page_views", value_type=PageView)
page_views = app.Table("page_views", default=int, help="Views by page.")


@app.agent(page_view_topic)
async def count_page_views(views):
    """Count what is looked at."""
    async for view in views.group_by(PageView.page):
        page_views[view.page] += 1
