# What tells somebody that the redriver is silent or fails, that the store takes nothing, or that many requests are
# refused. The alarms are there in any case; they tell somebody where
# `alarm_topic` names an SMN topic. The first two look at the platform's metrics, and may stay still where those
# have no data at all; the others count words of the log, on LTS's own clock, so that missing data rings.
# docs/otc-huawei-cloud.md.

locals {
  alarm_topic_name = element(split(":", var.alarm_topic), length(split(":", var.alarm_topic)) - 1)
}

# It runs each minute: three periods of five minutes without a run are silence.
resource "huaweicloud_ces_alarmrule" "redrive_not_invoked" {
  count                = var.spill ? 1 : 0
  alarm_name           = "${var.name}-redrive-not-invoked"
  alarm_description    = "The redriver is not invoked: its timers are stopped, or it has no room"
  alarm_action_enabled = var.alarm_topic != ""
  metric {
    namespace = "SYS.FunctionGraph"
  }
  resources {
    dimensions {
      name  = "package-functionname"
      value = "default-${huaweicloud_fgs_function.redrive[0].name}"
    }
  }
  condition {
    metric_name         = "count"
    period              = 300
    filter              = "sum"
    comparison_operator = "<"
    value               = 1
    count               = 3
    suppress_duration   = 3600
  }
  dynamic "alarm_actions" {
    for_each = var.alarm_topic == "" ? [] : [var.alarm_topic]
    content {
      type              = "notification"
      notification_list = [alarm_actions.value]
    }
  }
  dynamic "ok_actions" {
    for_each = var.alarm_topic == "" ? [] : [var.alarm_topic]
    content {
      type              = "notification"
      notification_list = [ok_actions.value]
    }
  }
}

# The next run may mend one, so the third period with an error rings.
resource "huaweicloud_ces_alarmrule" "redrive_errors" {
  count                = var.spill ? 1 : 0
  alarm_name           = "${var.name}-redrive-errors"
  alarm_description    = "The redriver fails, or does not end in time"
  alarm_action_enabled = var.alarm_topic != ""
  metric {
    namespace = "SYS.FunctionGraph"
  }
  resources {
    dimensions {
      name  = "package-functionname"
      value = "default-${huaweicloud_fgs_function.redrive[0].name}"
    }
  }
  condition {
    metric_name         = "failcount"
    period              = 300
    filter              = "sum"
    comparison_operator = ">="
    value               = 1
    count               = 3
    suppress_duration   = 3600
  }
  dynamic "alarm_actions" {
    for_each = var.alarm_topic == "" ? [] : [var.alarm_topic]
    content {
      type              = "notification"
      notification_list = [alarm_actions.value]
    }
  }
  dynamic "ok_actions" {
    for_each = var.alarm_topic == "" ? [] : [var.alarm_topic]
    content {
      type              = "notification"
      notification_list = [ok_actions.value]
    }
  }
}

# One for each shard, because the others' runs would hide that one is not worked on.
resource "huaweicloud_lts_keywords_alarm_rule" "redrive_silent" {
  count              = var.spill ? var.redrive_shards : 0
  name               = "${var.name}-redrive-silent-${count.index}"
  description        = "No run of this shard has ended for 15 minutes"
  alarm_level        = "MAJOR"
  send_notifications = var.alarm_topic != ""
  keywords_requests {
    keywords               = "redrive_run_${count.index}_of_${var.redrive_shards}"
    condition              = "<"
    number                 = 1
    log_group_id           = huaweicloud_lts_group.logs.id
    log_stream_id          = huaweicloud_lts_stream.logs.id
    search_time_range_unit = "minute"
    search_time_range      = 15
  }
  frequency {
    type            = "FIXED_RATE"
    fixed_rate_unit = "minute"
    fixed_rate      = 5
  }
  dynamic "notification_rule" {
    for_each = var.alarm_topic == "" ? [] : [var.alarm_topic]
    content {
      user_name     = var.alarm_user
      template_name = var.alarm_template
      language      = "en-us"
      topics {
        name      = local.alarm_topic_name
        topic_urn = notification_rule.value
      }
    }
  }
}

# A run that crashed or was cut has no line: the alarms above are its.
resource "huaweicloud_lts_keywords_alarm_rule" "redrive_fails" {
  count              = var.spill ? 1 : 0
  name               = "${var.name}-redrive-fails"
  description        = "The redriver cannot do its work: see its log"
  alarm_level        = "MAJOR"
  send_notifications = var.alarm_topic != ""
  keywords_requests {
    keywords               = "redrive_failed"
    condition              = ">="
    number                 = 2
    log_group_id           = huaweicloud_lts_group.logs.id
    log_stream_id          = huaweicloud_lts_stream.logs.id
    search_time_range_unit = "minute"
    search_time_range      = 15
  }
  frequency {
    type            = "FIXED_RATE"
    fixed_rate_unit = "minute"
    fixed_rate      = 5
  }
  dynamic "notification_rule" {
    for_each = var.alarm_topic == "" ? [] : [var.alarm_topic]
    content {
      user_name     = var.alarm_user
      template_name = var.alarm_template
      language      = "en-us"
      topics {
        name      = local.alarm_topic_name
        topic_urn = notification_rule.value
      }
    }
  }
}

# The runs end well, and yet something is not sent: a topic, a key or a quota that a person has to correct, or a long
# outage of the queue.
resource "huaweicloud_lts_keywords_alarm_rule" "redrive_stuck" {
  count              = var.spill ? 1 : 0
  name               = "${var.name}-redrive-stuck"
  description        = "A delivery has waited for its queue for 15 minutes: see the log"
  alarm_level        = "MAJOR"
  send_notifications = var.alarm_topic != ""
  keywords_requests {
    keywords               = "redrive_stuck"
    condition              = ">="
    number                 = 1
    log_group_id           = huaweicloud_lts_group.logs.id
    log_stream_id          = huaweicloud_lts_stream.logs.id
    search_time_range_unit = "minute"
    search_time_range      = 15
  }
  frequency {
    type            = "FIXED_RATE"
    fixed_rate_unit = "minute"
    fixed_rate      = 5
  }
  dynamic "notification_rule" {
    for_each = var.alarm_topic == "" ? [] : [var.alarm_topic]
    content {
      user_name     = var.alarm_user
      template_name = var.alarm_template
      language      = "en-us"
      topics {
        name      = local.alarm_topic_name
        topic_urn = notification_rule.value
      }
    }
  }
}

# The next outage of the queue would be one of the hooks. Each instance tries the store once.
resource "huaweicloud_lts_keywords_alarm_rule" "store_probe_fails" {
  count              = var.spill ? 1 : 0
  name               = "${var.name}-store-probe-fails"
  description        = "The spill store does not accept writes: see the log"
  alarm_level        = "MAJOR"
  send_notifications = var.alarm_topic != ""
  keywords_requests {
    keywords               = "store_probe_failed"
    condition              = ">="
    number                 = 1
    log_group_id           = huaweicloud_lts_group.logs.id
    log_stream_id          = huaweicloud_lts_stream.logs.id
    search_time_range_unit = "minute"
    search_time_range      = 15
  }
  frequency {
    type            = "FIXED_RATE"
    fixed_rate_unit = "minute"
    fixed_rate      = 5
  }
  dynamic "notification_rule" {
    for_each = var.alarm_topic == "" ? [] : [var.alarm_topic]
    content {
      user_name     = var.alarm_user
      template_name = var.alarm_template
      language      = "en-us"
      topics {
        name      = local.alarm_topic_name
        topic_urn = notification_rule.value
      }
    }
  }
}

# Anybody can make it ring.
resource "huaweicloud_lts_keywords_alarm_rule" "strangers_rejected" {
  name               = "${var.name}-strangers-rejected"
  description        = "Strangers, or a wrong secret: 100 requests in five minutes failed verification"
  alarm_level        = "MINOR"
  send_notifications = var.alarm_topic != ""
  keywords_requests {
    keywords               = "rejected"
    condition              = ">="
    number                 = 100
    log_group_id           = huaweicloud_lts_group.logs.id
    log_stream_id          = huaweicloud_lts_stream.logs.id
    search_time_range_unit = "minute"
    search_time_range      = 5
  }
  frequency {
    type            = "FIXED_RATE"
    fixed_rate_unit = "minute"
    fixed_rate      = 5
  }
  dynamic "notification_rule" {
    for_each = var.alarm_topic == "" ? [] : [var.alarm_topic]
    content {
      user_name     = var.alarm_user
      template_name = var.alarm_template
      language      = "en-us"
      topics {
        name      = local.alarm_topic_name
        topic_urn = notification_rule.value
      }
    }
  }
}
