# What tells somebody that the redriver is silent or fails, that the store takes nothing, or that many requests are
# refused. All count words of its log, on CLS's own clock: a search
# that finds nothing is a count of 0, so missing data rings. CLS takes no alarm without a notice: where `cls_notices`
# is empty there are none, and docs/tencent-cloud.md says what to look at instead.

locals {
  alarms = var.spill && length(var.cls_notices) > 0
}

# One for each shard, because the others' runs would hide that one is not worked on. It runs each minute; a run
# may begin late and its log may come late, so 15 minutes without one are silence.
resource "tencentcloud_cls_alarm" "redrive_silent" {
  count            = local.alarms ? var.redrive_shards : 0
  name             = "${var.name}-redrive-silent-${count.index}"
  alarm_notice_ids = var.cls_notices
  condition        = "$1.runs < 1"
  trigger_count    = 1
  alarm_period     = 60
  message_template = "No run of hookmq's redriver of shard ${count.index}/${var.redrive_shards} has ended for 15 minutes: its share of the acknowledged deliveries waits."
  status           = true
  alarm_targets {
    logset_id         = tencentcloud_cls_logset.logs.id
    topic_id          = tencentcloud_cls_topic.logs.id
    number            = 1
    query             = "redrive_run_${count.index}_of_${var.redrive_shards} | select count(*) as runs"
    start_time_offset = -15
    end_time_offset   = 0
  }
  monitor_time {
    type = "Period"
    time = 5
  }
}

# The next run may mend one, so two of them ring. A run that crashed or was cut has no line: the alarm above is its.
resource "tencentcloud_cls_alarm" "redrive_fails" {
  count            = local.alarms ? 1 : 0
  name             = "${var.name}-redrive-fails"
  alarm_notice_ids = var.cls_notices
  condition        = "$1.runs >= 2"
  trigger_count    = 1
  alarm_period     = 60
  message_template = "hookmq's redriver cannot do its work: see what its log says in front of redrive_failed."
  status           = true
  alarm_targets {
    logset_id         = tencentcloud_cls_logset.logs.id
    topic_id          = tencentcloud_cls_topic.logs.id
    number            = 1
    query             = "redrive_failed | select count(*) as runs"
    start_time_offset = -15
    end_time_offset   = 0
  }
  monitor_time {
    type = "Period"
    time = 5
  }
}

# The runs end well, and yet something is not sent: a topic, a key or a quota that a person has to correct, or a long
# outage of the queue.
resource "tencentcloud_cls_alarm" "redrive_stuck" {
  count            = local.alarms ? 1 : 0
  name             = "${var.name}-redrive-stuck"
  alarm_notice_ids = var.cls_notices
  condition        = "$1.runs >= 1"
  trigger_count    = 1
  alarm_period     = 60
  message_template = "A delivery has waited for its queue for 15 minutes: see what the redriver's log says in front of redrive_stuck."
  status           = true
  alarm_targets {
    logset_id         = tencentcloud_cls_logset.logs.id
    topic_id          = tencentcloud_cls_topic.logs.id
    number            = 1
    query             = "redrive_stuck | select count(*) as runs"
    start_time_offset = -15
    end_time_offset   = 0
  }
  monitor_time {
    type = "Period"
    time = 5
  }
}

# The next outage of the queue would be one of the hooks. Each instance tries the store once.
resource "tencentcloud_cls_alarm" "store_probe_fails" {
  count            = local.alarms ? 1 : 0
  name             = "${var.name}-store-probe-fails"
  alarm_notice_ids = var.cls_notices
  condition        = "$1.runs >= 1"
  trigger_count    = 1
  alarm_period     = 60
  message_template = "The spill store does not accept writes: see the log beside store_probe_failed."
  status           = true
  alarm_targets {
    logset_id         = tencentcloud_cls_logset.logs.id
    topic_id          = tencentcloud_cls_topic.logs.id
    number            = 1
    query             = "store_probe_failed | select count(*) as runs"
    start_time_offset = -15
    end_time_offset   = 0
  }
  monitor_time {
    type = "Period"
    time = 5
  }
}

# Anybody can make it ring.
resource "tencentcloud_cls_alarm" "strangers_rejected" {
  count            = length(var.cls_notices) > 0 ? 1 : 0
  name             = "${var.name}-strangers-rejected"
  alarm_notice_ids = var.cls_notices
  condition        = "$1.runs >= 100"
  trigger_count    = 1
  alarm_period     = 60
  message_template = "Strangers, or a wrong secret: 100 requests in five minutes failed verification."
  status           = true
  alarm_targets {
    logset_id         = tencentcloud_cls_logset.logs.id
    topic_id          = tencentcloud_cls_topic.logs.id
    number            = 1
    query             = "rejected | select count(*) as runs"
    start_time_offset = -5
    end_time_offset   = 0
  }
  monitor_time {
    type = "Period"
    time = 5
  }
}
