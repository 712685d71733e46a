# Webhooks to a queue on Tencent SCF: a forwarder behind a function URL, and with `spill` a bucket for what the
# queue does not take in time and a function that sends it every minute. docs/tencent-cloud.md.

data "tencentcloud_user_info" "account" {}

locals {
  package = var.kind == "web" ? "scf-web-${var.function}" : "event-${var.function}"
  # The provider reads a package again only where its path changes, so the path has the content's digest.
  zips = { for name in concat([local.package], var.spill ? ["event-redrive"] : []) :
    name => "${var.packages}/${name}-${substr(filesha256("${var.packages}/${name}.zip"), 0, 16)}.zip"
  }
  bucket      = "${var.name}-spill-${data.tencentcloud_user_info.account.app_id}"
  bucket_path = "qcs::cos:${var.region}:uid/${data.tencentcloud_user_info.account.app_id}:${local.bucket}"

  # The role's temporary credentials reach an event function in its environment, a web function in each request.
  environment = merge(
    { TDMQ_REGION = var.region },
    var.spill ? { SPILL_URL = "s3://${local.bucket}", S3_ENDPOINT = "https://cos.${var.region}.myqcloud.com" } : {},
    var.environment,
    var.queue_secrets,
  )
  # Not SCF_TRUST_HEADERS, as it was once named: SCF reserves that beginning.
  forwarder_environment = merge(
    local.environment,
    var.kind == "web" ? { TRUST_PLATFORM_HEADERS = "scf" } : {},
    var.hook_secrets,
  )
  send = var.function == "tdmq" ? [{
    effect   = "allow"
    action   = ["tdmq:SendMessages"]
    resource = var.tdmq_resources
  }] : []
}

# Names of variables that SCF keeps for itself, with * at the end for a beginning: docs/limits.md.
locals {
  reserved = [
    "SCF_*", "QCLOUD_*", "TENCENTCLOUD_*", "_SCF_SERVER_PORT", "USER_CODE_ROOT", "TRIGGER_SRC",
    "PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "CLASSPATH", "NODE_PATH",
  ]
  names = keys(local.forwarder_environment)
  wrong_names = [for name in local.names : name if !can(regex("^[a-zA-Z][a-zA-Z0-9_]*$", name)) || anytrue([
    for form in local.reserved : endswith(form, "*") ? startswith(name, trimsuffix(form, "*")) : name == form
  ])]
}

# What the functions may do.

resource "tencentcloud_cam_role" "forwarder" {
  name        = "${var.name}-forwarder"
  description = "hookmq: sends, and writes what could not be sent"
  document    = local.assumed_by_scf
}

resource "tencentcloud_cam_policy" "forwarder" {
  name        = "${var.name}-forwarder"
  description = "hookmq: sends, and writes what could not be sent"
  document = jsonencode({
    version = "2.0"
    statement = concat(local.send, var.spill ? [
      { effect = "allow", action = ["name/cos:PutObject"], resource = ["${local.bucket_path}/*"] },
      # Marks of deliveries that were sent. Without GetBucket a mark that is not there is a 403.
      { effect = "allow", action = ["name/cos:GetObject", "name/cos:HeadObject"], resource = ["${local.bucket_path}/sent/*"] },
      { effect = "allow", action = ["name/cos:GetBucket"], resource = ["${local.bucket_path}/*"] },
    ] : [])
  })
  lifecycle {
    precondition {
      condition     = var.spill || var.function == "tdmq"
      error_message = "Without spill, the rocketmq function needs no role: CAM refuses an empty policy. Set spill = true."
    }
  }
}

resource "tencentcloud_cam_role_policy_attachment" "forwarder" {
  role_id   = tencentcloud_cam_role.forwarder.id
  policy_id = tencentcloud_cam_policy.forwarder.id
}

resource "tencentcloud_cam_role" "redrive" {
  count       = var.spill ? 1 : 0
  name        = "${var.name}-redrive"
  description = "hookmq: sends what was spilled, and deletes it then"
  document    = local.assumed_by_scf
}

resource "tencentcloud_cam_policy" "redrive" {
  count       = var.spill ? 1 : 0
  name        = "${var.name}-redrive"
  description = "hookmq: sends what was spilled, and deletes it then"
  document = jsonencode({
    version = "2.0"
    statement = concat(local.send, [{
      effect   = "allow"
      action   = ["name/cos:PutObject", "name/cos:GetObject", "name/cos:HeadObject", "name/cos:DeleteObject", "name/cos:GetBucket"]
      resource = ["${local.bucket_path}/*"]
    }])
  })
}

resource "tencentcloud_cam_role_policy_attachment" "redrive" {
  count     = var.spill ? 1 : 0
  role_id   = tencentcloud_cam_role.redrive[0].id
  policy_id = tencentcloud_cam_policy.redrive[0].id
}

locals {
  assumed_by_scf = jsonencode({
    version = "2.0"
    statement = [{
      effect    = "allow"
      action    = "name/sts:AssumeRole"
      principal = { service = ["scf.qcloud.com"] }
    }]
  })
}

# Where acknowledged deliveries wait: versioned, encrypted, private, and nothing that waits expires.

resource "tencentcloud_cos_bucket" "spill" {
  count                = var.spill ? 1 : 0
  bucket               = local.bucket
  acl                  = "private"
  versioning_enable    = true
  encryption_algorithm = "AES256"
  lifecycle_rules {
    id            = "claims"
    filter_prefix = "claims/"
    expiration {
      days = var.claim_days
    }
    non_current_expiration {
      non_current_days = 1
    }
  }
  lifecycle_rules {
    id            = "sent"
    filter_prefix = "sent/"
    expiration {
      days = 8
    }
    non_current_expiration {
      non_current_days = 1
    }
  }
  # What each start tries the bucket with.
  lifecycle_rules {
    id            = "probe"
    filter_prefix = "probe/"
    expiration {
      days = 1
    }
    non_current_expiration {
      non_current_days = 1
    }
  }
  # Where QUARANTINE_URL names this bucket too.
  lifecycle_rules {
    id            = "quarantine"
    filter_prefix = "quarantine/"
    expiration {
      days = 14
    }
  }
  # What was deleted by mistake can be had again for a month; of what is written again and again, a day is kept.
  lifecycle_rules {
    id            = "deleted"
    filter_prefix = "spill/"
    non_current_expiration {
      non_current_days = 30
    }
  }
  lifecycle_rules {
    id            = "dead"
    filter_prefix = "dead/"
    non_current_expiration {
      non_current_days = 30
    }
  }
  lifecycle_rules {
    id            = "states"
    filter_prefix = "retry/"
    non_current_expiration {
      non_current_days = 1
    }
  }
  lifecycle {
    prevent_destroy = true
  }
}

# Logs.

resource "tencentcloud_cls_logset" "logs" {
  logset_name = var.name
}

resource "tencentcloud_cls_topic" "logs" {
  logset_id  = tencentcloud_cls_logset.logs.id
  topic_name = var.name
  period     = var.log_days
}

# The index without which CLS cannot search.
resource "tencentcloud_cls_index" "logs" {
  topic_id = tencentcloud_cls_topic.logs.id
  rule {
    full_text {
      case_sensitive = false
      tokenizer      = "@&?|#()='\",;:<>[]{}/ \n\t\r\\"
      contain_z_h    = false
    }
  }
}

# The forwarder.

resource "tencentcloud_scf_function" "forwarder" {
  # SCF makes no web function of an event function, which the provider says at the apply only: it is another one.
  name              = "${var.name}-${var.function}${var.kind == "web" ? "" : "-event"}"
  description       = "Webhooks to a queue"
  func_type         = var.kind == "web" ? "HTTP" : "Event"
  runtime           = "CustomRuntime"
  handler           = "index.main_handler" # Read by nobody, and required.
  zip_file          = local.zips[local.package]
  mem_size          = var.memory
  timeout           = var.timeout
  role              = tencentcloud_cam_role.forwarder.name
  cls_logset_id     = tencentcloud_cls_logset.logs.id
  cls_topic_id      = tencentcloud_cls_topic.logs.id
  enable_public_net = true
  environment       = local.forwarder_environment

  # An instance of an event function takes one event at a time.
  dynamic "instance_concurrency_config" {
    for_each = var.kind == "web" ? [1] : []
    content {
      dynamic_enabled = "FALSE"
      max_concurrency = var.concurrency
    }
  }
  depends_on = [tencentcloud_cam_role_policy_attachment.forwarder]
  lifecycle {
    # The redriver has no more variables than this one.
    precondition {
      condition     = length(jsonencode(local.forwarder_environment)) <= 4096
      error_message = "environment, hook_secrets, queue_secrets: SCF takes 4 KB of variables in all, the module's own included: shorten them."
    }
    precondition {
      condition     = length(local.wrong_names) == 0
      error_message = "environment, hook_secrets, queue_secrets: SCF takes names of letters, digits and _, from a letter on, and keeps some for itself (docs/limits.md): use others."
    }
  }
}

# Without authentication: each hook verifies its requests itself.
resource "tencentcloud_scf_trigger" "url" {
  function_name = tencentcloud_scf_function.forwarder.name
  namespace     = "default"
  qualifier     = "$DEFAULT"
  type          = "http"
  enable        = "OPEN"
  trigger_desc = jsonencode({
    AuthType  = "NONE"
    NetConfig = { EnableIntranet = false, EnableExtranet = true }
  })
}

# The redriver. One of each shard at a time: two at once lose nothing, but send twice. A run ends before the next
# of its shard is due.

resource "tencentcloud_scf_function" "redrive" {
  count             = var.spill ? 1 : 0
  name              = "${var.name}-redrive"
  description       = "Spilled deliveries to their queue"
  func_type         = "Event"
  runtime           = "CustomRuntime"
  handler           = "index.main_handler"
  zip_file          = local.zips["event-redrive"]
  mem_size          = 128
  timeout           = 55
  role              = tencentcloud_cam_role.redrive[0].name
  cls_logset_id     = tencentcloud_cls_logset.logs.id
  cls_topic_id      = tencentcloud_cls_topic.logs.id
  enable_public_net = true
  # The hooks' secrets too: one that is not whole has neither its dedupe nor its references to large bodies.
  environment = merge(local.environment, var.hook_secrets)
  depends_on  = [tencentcloud_cam_role_policy_attachment.redrive]
}

resource "tencentcloud_scf_reserved_concurrency_config" "redrive" {
  count                    = var.spill ? 1 : 0
  function_name            = tencentcloud_scf_function.redrive[0].name
  reserved_concurrency_mem = 128 * var.redrive_shards
}

# A timer invokes asynchronously, and SCF repeats such an invocation that failed. The next run does that work anyway.
resource "tencentcloud_scf_function_event_invoke_config" "redrive" {
  count         = var.spill ? 1 : 0
  function_name = tencentcloud_scf_function.redrive[0].name
  namespace     = "default"
  async_trigger_config {
    msg_ttl = 3600
    retry_config {
      retry_num = 0
    }
  }
}

# One for each shard, which the event's Message names.
resource "tencentcloud_scf_trigger" "timer" {
  count           = var.spill ? var.redrive_shards : 0
  function_name   = tencentcloud_scf_function.redrive[0].name
  namespace       = "default"
  qualifier       = "$DEFAULT"
  type            = "timer"
  trigger_name    = "every-minute-${count.index}"
  trigger_desc    = "0 * * * * * *"
  custom_argument = "${count.index}/${var.redrive_shards}"
  enable          = "OPEN"
}
