variable "region" {
  description = "Of the functions, their bucket and the topic: Pulsar topics live in one region."
  type        = string
  default     = "ap-guangzhou"
}

variable "name" {
  description = "What everything is named after."
  type        = string
  default     = "hookmq"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,30}[a-z0-9]$", var.name))
    error_message = "2 to 32 of a-z, 0-9 and -, from a letter on, no - at the end."
  }
}

variable "function" {
  description = "tdmq or rocketmq: the queue that webhooks are forwarded to."
  type        = string
  default     = "tdmq"
  validation {
    condition     = contains(["tdmq", "rocketmq"], var.function)
    error_message = "tdmq or rocketmq."
  }
}

variable "kind" {
  description = "web (any body, several requests at once) or event (text bodies only: SCF hands no others over)."
  type        = string
  default     = "web"
  validation {
    condition     = contains(["web", "event"], var.kind)
    error_message = "web or event."
  }
}

variable "packages" {
  description = "Where deploy/package wrote its zips."
  type        = string
  default     = "../../target/deploy"
}

variable "environment" {
  description = "More variables of docs/configuration.md: ROCKETMQ_ENDPOINT, SOURCE_URI and such. No secrets."
  type        = map(string)
  default     = {}
}

variable "hook_secrets" {
  description = "The variables that hooks.toml names: GITHUB_SECRET and such. Kept out of plans, but readable in the function's configuration and in Terraform's state."
  type        = map(string)
  sensitive   = true
}

variable "queue_secrets" {
  description = "Keys of the queue, for rocketmq: HUAWEICLOUD_SDK_AK, HUAWEICLOUD_SDK_SK. TDMQ needs none: the role sends. The redriver gets them too."
  type        = map(string)
  sensitive   = true
  default     = {}
}

variable "tdmq_resources" {
  description = "Topics that the function may send to, as CAM writes them: qcs::tdmq:REGION:uin/UIN:topic/CLUSTER/NAMESPACE/TOPIC. CAM's list of what can be narrowed does not name SendMessages: \"*\" until it was tried."
  type        = list(string)
  default     = ["*"]
}

variable "spill" {
  description = "Whether deliveries that the queue does not take in time are kept in a bucket and sent later."
  type        = bool
  default     = true
}

variable "redrive_shards" {
  description = "Redrivers side by side, each with a share of the waiting deliveries and of its queue's pace: 1, 2, 4 or 8."
  type        = number
  default     = 1
  validation {
    condition     = contains([1, 2, 4, 8], var.redrive_shards)
    error_message = "1, 2, 4 or 8."
  }
}

variable "concurrency" {
  description = "Requests at once in one instance of a web function: 1 to 100."
  type        = number
  default     = 20
  validation {
    condition     = floor(var.concurrency) == var.concurrency && var.concurrency >= 1 && var.concurrency <= 100
    error_message = "1 to 100."
  }
}

variable "memory" {
  description = "MB of the forwarder: 64, or a multiple of 128."
  type        = number
  default     = 128
  validation {
    condition     = var.memory == 64 || (var.memory >= 128 && var.memory % 128 == 0)
    error_message = "64, or a multiple of 128."
  }
}

variable "timeout" {
  description = "Seconds of a request: over the longest deadline of a hook, and at most 900, which is SCF's limit."
  type        = number
  default     = 30
  validation {
    condition     = floor(var.timeout) == var.timeout && var.timeout >= 1 && var.timeout <= 900
    error_message = "1 to 900."
  }
}

variable "log_days" {
  description = "Days for which logs are kept: 1 to 3600."
  type        = number
  default     = 30
  validation {
    condition     = floor(var.log_days) == var.log_days && var.log_days >= 1 && var.log_days <= 3600
    error_message = "1 to 3600."
  }
}

variable "claim_days" {
  description = "Days for which bodies that messages refer to are kept: longer than the topic keeps its messages."
  type        = number
  default     = 30
  validation {
    condition     = floor(var.claim_days) == var.claim_days && var.claim_days >= 1
    error_message = "A whole number of days, 1 at least."
  }
}

variable "cls_notices" {
  description = "CLS notices (notice-…) that tell somebody that the redriver is silent or fails. CLS takes no alarm without one, so without them there are no alarms."
  type        = list(string)
  default     = []
}
